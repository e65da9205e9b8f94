"""The metrics of a real server move as they should while real clients use it."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sft.webrtc import rtcp as own_rtcp
from support.clients import AiortcClient, ClientPool, meet, settle
from support.metrics import NAME_OF_THE_ORIGINAL, check_metrics, scrape
from support.rtcp import SR, nack, pli, read_compounds
from support.rtp import audio, video
from support.server import Server, make_config, ports_of_two_workers, running_server
from support.wire import confconn, new_id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Impatient, and calls have room for two."""
    with running_server(
        tmp_path_factory.mktemp("server"),
        limits={"participants_per_call": 2},
        timers={"offer_seconds": 2},
    ) as server:
        yield server


@pytest.fixture(autouse=True)
def _idle(server: Server) -> None:
    """Nobody of the test before is left, and the snapshots know."""
    server.wait(lambda _: "sft_participants" not in scrape(server))


class Watch:
    """How the series of a server have changed since it was made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = self._now()

    def changes(self) -> dict[str, float]:
        now = self._now()
        return {
            name: now.get(name, 0) - self._before.get(name, 0)
            for name in now.keys() | self._before.keys()
            if now.get(name) != self._before.get(name)
        }

    def wait(self, happened: Callable[[dict[str, float]], object]) -> dict[str, float]:
        """The changes, once they are such; snapshots are a moment old."""
        changes: dict[str, float] = {}

        def have_happened(_: Server) -> object:
            nonlocal changes
            changes = self.changes()
            return happened(changes)

        self._server.wait(have_happened)
        return changes

    def _now(self) -> dict[str, float]:
        return scrape(self._server)


def pair(server: Server, clients: ClientPool, **options: Any) -> tuple[AiortcClient, AiortcClient]:
    call = new_id()
    ann, bob = clients.make(), clients.make()
    for client in (ann, bob):
        client.join(server.url, call, **options)
    meet(ann, bob)
    return ann, bob


def counted(changes: dict[str, float], pattern: str) -> float:
    """The sum over all series that match."""
    return sum(value for name, value in changes.items() if re.fullmatch(pattern, name))


def test_a_join_is_seen_with_its_phases_and_its_path_and_so_is_the_leaving(
    server: Server, clients: ClientPool
) -> None:
    watch = Watch(server)
    ann, bob = pair(server, clients)
    seen = watch.wait(
        lambda new: (
            new.get('sft_joins_total{outcome="established"}') == 2 and "sft_approvals_missing" not in new
        )
    )
    assert seen["sft_participants"] == seen["sft_participants_connected"] == 2
    assert (seen["sft_calls"], seen["sft_calls_total"], seen["sft_participants_total"]) == (1, 1, 2)
    for phase in ("http", "ice", "dtls", "channel"):
        assert seen[f'sft_join_phase_duration_seconds_count{{phase="{phase}"}}'] == 2
    assert counted(seen, r"sft_join_phase_duration_seconds_sum.*") < 20
    assert seen['sft_http_requests_total{outcome="offered"}'] == 2
    assert seen['sft_http_requests_total{outcome="answered"}'] == 2
    assert seen["sft_http_request_duration_seconds_count"] == 4
    assert counted(seen, r'sft_paths\{local="host",remote="\w+",transport="udp"\}') == 2
    assert seen['sft_transport_ports_free{transport="udp",worker="0"}'] == -2
    assert 0 < seen['sft_received_packets_total{kind="control"}'] < 200
    ann.say("HANGUP")
    ann.wait(lambda client: client.of_type("HANGUP"))
    bob.close()
    seen = watch.wait(lambda new: counted(new, r"sft_participants_left_total.*") == 2)
    assert seen['sft_participants_left_total{reason="hangup"}'] == 1
    assert seen['sft_participants_left_total{reason="connection_ended"}'] == 1
    assert counted(seen, r'sft_paths_left_total\{local="host",remote="\w+",transport="udp"\}') == 2
    assert {"sft_calls", "sft_participants", "sft_participants_connected"}.isdisjoint(seen)
    assert seen['sft_joins_total{outcome="established"}'] == 2


def test_joins_that_do_not_succeed_are_seen_with_the_reason(server: Server, clients: ClientPool) -> None:
    watch = Watch(server)
    ann, bob = pair(server, clients)
    third = server.post_json(f"/sft/{ann.call}", confconn(ann.call, new_id()))
    assert third.json()["status"] == 4
    call = new_id()
    assert server.post_json(f"/sft/{call}", confconn(call, new_id())).json()["type"] == "SETUP"
    assert server.post("/sft/x", b"{").status == 400
    seen = watch.wait(lambda new: 'sft_joins_total{outcome="no_answer"}' in new)
    joins = {name: value for name, value in seen.items() if name.startswith("sft_joins_total")}
    assert joins == {
        'sft_joins_total{outcome="established"}': 2,
        'sft_joins_total{outcome="call_full"}': 1,
        'sft_joins_total{outcome="no_answer"}': 1,
    }
    assert seen['sft_http_requests_total{outcome="bad_request"}'] == 1
    assert "sft_participants_left_total" not in seen
    del bob


def test_who_is_not_approved_of_is_counted(server: Server, clients: ClientPool) -> None:
    watch = Watch(server)
    ann, bob = pair(server, clients)
    ann.approve()
    seen = watch.wait(lambda new: new.get("sft_approvals_missing") == 2)
    ann.approve(bob)
    seen = watch.wait(lambda new: "sft_approvals_missing" not in new)
    assert seen["sft_participants"] == 2


def test_media_is_counted_by_kind_to_the_byte(server: Server, clients: ClientPool) -> None:
    ann, bob = pair(server, clients, toolver="10.3.7")
    bob.look((ann, 2))
    watch = Watch(server)
    sound, picture = audio(ann.ssrcs["audio"], 50), video(ann.ssrcs["h"], 20, per_frame=3, rid="h")
    ann.send(sound)
    ann.send(picture)
    settle(ann, bob)
    seen = watch.wait(lambda new: new.get('sft_sent_packets_total{kind="video"}') == 60)
    for kind, packets in (("audio", sound), ("video", picture)):
        payload = sum(len(packet.payload) for packet in packets)
        assert seen[f'sft_received_packets_total{{kind="{kind}"}}'] == len(packets)
        assert seen[f'sft_sent_packets_total{{kind="{kind}"}}'] == len(packets)
        assert seen[f'sft_received_bytes_total{{kind="{kind}"}}'] == payload
        assert seen[f'sft_sent_bytes_total{{kind="{kind}"}}'] == payload
    assert seen['sft_join_phase_duration_seconds_count{phase="media"}'] == 1
    assert counted(seen, "sft_drops_total.*") == 0


def test_repairs_and_keyframe_requests_are_counted_by_cause(server: Server, clients: ClientPool) -> None:
    ann, bob = pair(server, clients, toolver="10.3.7")
    bob.look((ann, 2))
    picture = video(ann.ssrcs["h"], 20, per_frame=3, rid="h")
    ann.send(picture)
    settle(ann, bob)
    watch = Watch(server)
    got = [packet for packet in bob.packets if packet.ssrc in bob.slot_ssrcs("video")]
    slot, last = got[-1].ssrc, got[-1].sequence
    bob.send_rtcp(nack(slot, [last - 2, last - 1]))
    bob.send_rtcp(pli(slot))
    bob.ping()
    seen = watch.wait(lambda new: "sft_keyframe_requests_total" in new)
    assert seen["sft_downstream_nacked_packets_total"] == 2
    assert seen["sft_downstream_repeated_packets_total"] == 2
    assert seen['sft_keyframes_wanted_total{cause="receiver_pli"}'] == 1
    watch = Watch(server)
    more = video(ann.ssrcs["h"], 5, per_frame=3, rid="h", sequence=picture[-1].sequence + 3)
    ann.send(more)  # two packets before it never come
    seen = watch.wait(lambda new: 'sft_upstream_missing_packets_total{outcome="lost"}' in new)
    assert seen['sft_upstream_missing_packets_total{outcome="lost"}'] == 2


def test_reports_of_receivers_become_distributions(server: Server, clients: ClientPool) -> None:
    ann, bob = pair(server, clients)
    watch = Watch(server)
    ann.send(audio(ann.ssrcs["audio"], 100), rate=60)
    bob.wait(lambda client: client.has_rtcp(SR))
    report = next(packet for packet in read_compounds(bob.rtcp) if packet.type == SR)
    slot = int.from_bytes(report.body[:4], "big")
    middle = int.from_bytes(report.body[6:10], "big")
    block = own_rtcp.ReportBlock(slot, 64, 5, 0, 480, middle, 0)  # a quarter lost, 10 ms of jitter
    sequences = itertools.count(200, 30)

    def tells(server: Server) -> bool:
        """A second after the last packet there is no loss to tell of."""
        ann.send(audio(ann.ssrcs["audio"], 30, sequence=next(sequences)), rate=200)
        bob.send_rtcp(own_rtcp.write_receiver_report(7, [block]))
        bob.ping()
        (participant,) = (
            one
            for call in server.worker()["calls"]
            for one in call["participants"]
            if call["call"] == ann.call and one["user"] == bob.user
        )
        return bool(participant["round_trip_seconds"] > 0 and participant["loss_sent"] > 0)

    server.wait(tells)
    seen = watch.wait(lambda new: new.get('sft_downstream_jitter_seconds_sum{kind="audio"}', 0) >= 0.01)
    assert seen['sft_downstream_loss_ratio_sum{kind="audio"}'] >= 0.25
    assert seen["sft_round_trip_seconds_count"] >= 1
    assert 0 < seen["sft_round_trip_seconds_sum"] < 30
    assert seen['sft_upstream_loss_ratio_count{kind="audio"}'] >= 1
    assert seen['sft_upstream_jitter_seconds_count{kind="audio"}'] >= 1


def test_garbage_is_counted_by_reason(server: Server, clients: ClientPool) -> None:
    ann, _ = pair(server, clients)
    offered = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+)", ann.offer["sdp"], re.IGNORECASE)
    assert offered is not None
    watch = Watch(server)
    broken_check = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12)  # eight bytes are missing
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for garbage in (broken_check, b"\x80" * 40, b"\xff" * 20):
            for _ in range(5):
                stranger.sendto(garbage, (offered[1], int(offered[2])))
    ann.send_rtcp(b"\x80\xc9\xff\xff\x00\x00\x00\x01")  # says that it is longer
    seen = watch.wait(lambda new: counted(new, r"sft_drops_total.*") >= 11)
    drops = {name.split('"')[1]: value for name, value in seen.items() if name.startswith("sft_drops_total")}
    assert drops == {"stun_malformed": 5, "srtp_auth": 5, "rtcp_malformed": 1}
    assert seen['sft_transport_kernel_drops_total{transport="udp",worker="0"}'] == 5, "seen by the filter"


def test_promtool_reads_all_of_it(server: Server) -> None:
    text = server.get("/metrics", operator=True).body.decode()
    assert check_metrics(text) == [NAME_OF_THE_ORIGINAL]


def test_the_process_is_seen(server: Server) -> None:
    lag = 'sft_worker_loop_lag_seconds_count{worker="0"}'
    server.wait(lambda _: scrape(server).get(lag, 0) > 1)
    first = scrape(server)
    assert 20e6 < first['sft_worker_resident_memory_bytes{worker="0"}'] < 500e6
    assert first['sft_worker_cpu_seconds_total{worker="0"}'] > 0.1
    assert first["process_open_fds"] > 5
    assert 5 < first['sft_worker_open_fds{worker="0"}'] < first['sft_worker_max_fds{worker="0"}']
    assert first['sft_worker_max_fds{worker="0"}'] == first["process_max_fds"], "one process"
    assert first.get('sft_worker_snapshot_age_seconds{worker="0"}', 0) < 5
    watch = Watch(server)
    seen = watch.wait(lambda new: new.get(lag, 0) >= 10)
    assert seen["sft_uptime_total" if "sft_uptime_total" in seen else "sft_uptime"] > 0


def test_several_workers_are_summed_and_one_that_dies_takes_nothing_away(
    tmp_path: Path, clients: ClientPool
) -> None:
    with running_server(tmp_path, server={"workers": 2}, plugins=ports_of_two_workers()) as server:
        calls = [pair(server, clients) for _ in range(2)]
        server.wait(lambda _: scrape(server).get("sft_participants_connected") == 4)
        seen = scrape(server)
        assert (seen["sft_calls"], seen["sft_workers"], seen["sft_participants_total"]) == (2, 2, 4)
        for worker in ("0", "1"):
            assert seen[f'sft_worker_participants{{worker="{worker}"}}'] == 2
            assert seen[f'sft_worker_cpu_seconds_total{{worker="{worker}"}}'] > 0.1
        victim = server.snapshot()["workers"][0]["pid"]
        os.kill(victim, signal.SIGKILL)
        server.wait(lambda _: 'sft_worker_restarts_total{worker="0"}' in scrape(server))
        seen = scrape(server)
        assert (seen["sft_calls"], seen["sft_workers"]) == (1, 2)
        assert seen["sft_participants_total"] == seen['sft_joins_total{outcome="established"}'] == 4
        for client in (client for call in calls for client in call):
            client.close()


FAULTY = """
from sft import hookimpl

@hookimpl
def sft_call_started(call):
    raise ZeroDivisionError("on purpose")
"""


def test_a_plugin_that_fails_is_counted_and_harms_nobody(
    tmp_path: Path, clients: ClientPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = Server(tmp_path / "server", make_config(plugins={"modules": ["faulty"]}))
    try:
        server.wait_until_listening()
        pair(server, clients)
        server.wait(lambda _: scrape(server).get("sft_participants_connected") == 2)
        assert scrape(server)['sft_plugin_faults_total{hook="sft_call_started",plugin="faulty"}'] == 1
    finally:
        server.kill()
