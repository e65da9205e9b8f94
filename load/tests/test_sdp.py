"""The server's offer and our answer, each read by the other side's reader."""

from __future__ import annotations

import attrs
import pytest

from sft.model import Candidate
from sft.signalling.answer import read_answer_untrusted
from sft.signalling.offer import OfferParameters, write_offer
from sft_load.errors import JoinError
from sft_load.sdp import Ours, read_offer, write_answer

FINGERPRINT = ":".join(["AB"] * 32)
CANDIDATES = (
    Candidate("1", "tcp", 900, "203.0.113.5", 443, tcptype="passive"),
    Candidate("2", "udp", 100, "10.0.0.5", 40000),
    Candidate("3", "udp", 200, "2001:db8::5", 40001),
)
OURS = Ours(ufrag="abcd1234", pwd="p" * 24, fingerprint=FINGERPRINT, audio_ssrc=7, video_ssrc=8, rids=())


@attrs.frozen
class Slot:
    mid: str
    ssrc: int
    label: str = "label"


def offer(*, lite: bool = True, simulcast: bool = True) -> str:
    return write_offer(
        OfferParameters(
            session_id=1,
            session_version=1,
            host="203.0.113.5",
            ufrag="theirs",
            pwd="s" * 24,
            fingerprint=FINGERPRINT,
            candidates=CANDIDATES,
            lite=lite,
            simulcast=simulcast,
            audio_slots=[Slot("1", 101), Slot("2", 102)],
            video_slots=[Slot("3", 201)],
            rtcp_ssrc=9,
            rtcp_label="label",
        )
    )


def test_the_offer_says_where_to_go_and_what_will_come() -> None:
    read = read_offer(offer())
    assert (read.ufrag, read.pwd, read.fingerprint) == ("theirs", "s" * 24, FINGERPRINT)
    assert read.candidates == (("2001:db8::5", 40001), ("10.0.0.5", 40000))
    assert (read.audio_slots, read.video_slots) == ((101, 102), (201,))
    assert (read.lite, read.simulcast) == (True, True)
    other = read_offer(offer(lite=False, simulcast=False))
    assert (other.lite, other.simulcast) == (False, False)


def test_the_answer_takes_every_line_of_the_offer_in_its_order() -> None:
    text = offer()
    lines = [line.split(" ")[0] for line in text.split("\r\n") if line.startswith("m=")]
    answer = write_answer(read_offer(text), OURS)
    assert [line.split(" ")[0] for line in answer.split("\r\n") if line.startswith("m=")] == lines
    read = read_answer_untrusted(answer)
    assert not read.rejected
    assert (read.ufrag, read.pwd, read.setup) == ("abcd1234", "p" * 24, "active")
    assert (read.audio_ssrc, read.video_ssrcs, read.sctp_port) == (7, (8,), 5000)


def test_named_layers_are_announced_without_an_ssrc() -> None:
    ours = attrs.evolve(OURS, video_ssrc=None, rids=("l", "h"))
    read = read_answer_untrusted(write_answer(read_offer(offer()), ours))
    assert (read.rids, read.video_ssrcs) == (("l", "h"), ())


def test_lost_packets_are_not_to_be_repaired() -> None:
    read = read_answer_untrusted(write_answer(read_offer(offer()), OURS))
    assert not any(read.takes(mid, "nack") for mid in ("audio", "video", "1", "3"))
    assert read.takes("video", "nack pli")


@pytest.mark.parametrize("text", ["", "v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio x"])
def test_what_is_no_offer_is_told(text: str) -> None:
    with pytest.raises(JoinError):
        read_offer(text)


def test_an_offer_that_leaves_dtls_to_the_server_is_refused() -> None:
    with pytest.raises(JoinError, match="begin DTLS"):
        read_offer(offer().replace("a=setup:actpass", "a=setup:active"))
