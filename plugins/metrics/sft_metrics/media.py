"""Traffic, repairs, and what reports say of the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import Metric

from sft.plugin import Snapshot
from sft_metrics.families import NONE, counter, gauge, histogram, merge, merged, total

LIMITS = ("remb", "loss", "delay")
"""Why a receiver may get less video than it wants."""


def families(workers: Sequence[Snapshot], counted: Sequence[Snapshot]) -> Iterator[Metric]:
    yield from _traffic(counted)
    yield from _repair(counted)
    yield from _budget(workers, counted)
    yield from _quality(counted)


def _traffic(counted: Sequence[Snapshot]) -> Iterator[Metric]:
    yield counter(
        "sft_received_packets_total",
        "Packets received and taken, by kind; control is STUN and DTLS. What was not is in sft_drops_total.",
        total(counted, lambda worker: {kind: one.packets for kind, one in worker.received.items()}),
        "kind",
    )
    yield counter(
        "sft_received_bytes_total",
        "Bytes of them: of media the payload, of the rest whole datagrams.",
        total(counted, lambda worker: {kind: one.bytes for kind, one in worker.received.items()}),
        "kind",
    )
    yield counter(
        "sft_sent_packets_total",
        "Packets sent, repeats included, by kind. What the kernel refused is also in sft_drops_total.",
        total(counted, lambda worker: {kind: one.packets for kind, one in worker.sent.items()}),
        "kind",
    )
    yield counter(
        "sft_sent_bytes_total",
        "Bytes of them: of media the payload without repeats, of the rest whole datagrams.",
        total(counted, lambda worker: {kind: one.bytes for kind, one in worker.sent.items()}),
        "kind",
    )
    yield counter(
        "sft_drops_total",
        "What came from the network and went no further, or could not be sent, by reason.",
        total(counted, lambda worker: worker.drops),
        "reason",
    )


def _repair(counted: Sequence[Snapshot]) -> Iterator[Metric]:
    yield counter(
        "sft_upstream_missing_packets_total",
        "Packets missing from senders, by what became of them.",
        total(counted, lambda worker: worker.repair.missing),
        "outcome",
    )
    yield counter(
        "sft_upstream_nacked_packets_total",
        "Packets that senders were asked to repeat, each time counted.",
        sum(worker.repair.asked for worker in counted),
    )
    yield counter(
        "sft_downstream_nacked_packets_total",
        "Packets that receivers asked for again.",
        sum(worker.repair.nacked for worker in counted),
    )
    yield counter(
        "sft_downstream_repeated_packets_total",
        "Packets that receivers were sent again.",
        sum(worker.repair.repeated for worker in counted),
    )
    yield counter(
        "sft_keyframes_wanted_total",
        "How often a keyframe was wanted, by cause.",
        total(counted, lambda worker: worker.repair.keyframes_wanted),
        "cause",
    )
    yield counter(
        "sft_keyframe_requests_total",
        "Requests for keyframes that senders were sent.",
        sum(worker.repair.keyframes_asked for worker in counted),
    )


def _budget(workers: Sequence[Snapshot], counted: Sequence[Snapshot]) -> Iterator[Metric]:
    people = [one for worker in workers for call in worker.calls for one in call.participants]
    limited = Counter(one.limited_by for one in people)
    yield gauge(
        "sft_receivers_limited",
        "Participants that get less video than they want, by what limits them.",
        {(reason,): limited[reason] for reason in LIMITS},
        "reason",
    )
    yield gauge(
        "sft_slots_limited",
        "Their pictures: reduced to the small layer, or paused.",
        {
            ("reduced",): sum(one.slots_reduced for one in people),
            ("paused",): sum(one.slots_paused for one in people),
        },
        "how",
    )
    yield counter(
        "sft_degradations_total",
        "How often video was taken away from a receiver.",
        total(counted, lambda worker: worker.degradations),
        "reason",
    )


def _quality(counted: Sequence[Snapshot]) -> Iterator[Metric]:
    yield histogram(
        "sft_round_trip_seconds",
        "Round-trip times to participants, from their reports.",
        {NONE: merge([worker.quality.round_trip for worker in counted])},
    )
    yield histogram(
        "sft_upstream_loss_ratio",
        "Share of packets lost on the way from senders, one value per stream and report.",
        merged(counted, lambda worker: worker.quality.loss_received),
        "kind",
    )
    yield histogram(
        "sft_downstream_loss_ratio",
        "Share of packets lost on the way to receivers, as they report it.",
        merged(counted, lambda worker: worker.quality.loss_sent),
        "kind",
    )
    yield histogram(
        "sft_upstream_jitter_seconds",
        "Interarrival jitter of senders' streams.",
        merged(counted, lambda worker: worker.quality.jitter_received),
        "kind",
    )
    yield histogram(
        "sft_downstream_jitter_seconds",
        "Interarrival jitter of what receivers get, as they report it.",
        merged(counted, lambda worker: worker.quality.jitter_sent),
        "kind",
    )
