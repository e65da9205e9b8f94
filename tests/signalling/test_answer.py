from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.model import Candidate, Drop
from sft.signalling.answer import Answer, read_answer_untrusted
from sft.signalling.offer import OfferParameters, write_offer

FINGERPRINT = ":".join(["AA"] * 32)
# Protocol section 3.5, with its invented values.
EXAMPLE = f"""\
v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
a=group:BUNDLE audio video data 1
a=extmap-allow-mixed
a=msid-semantic: WMS
a=tool:wasm-default: avs 10.3.7 (generic/wasm)
m=audio 54321 UDP/TLS/RTP/SAVPF 111
c=IN IP4 198.51.100.77
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;cbr=1
a=sendrecv
a=candidate:1 1 udp 2122260223 192.168.1.20 54321 typ host generation 0 network-id 1
a=candidate:2 1 udp 1686052607 198.51.100.77 54321 typ srflx raddr 192.168.1.20 rport 54321 generation 0
a=candidate:3 1 udp 41885439 198.51.100.9 61000 typ relay raddr 198.51.100.77 rport 54321 generation 0
a=ice-ufrag:Ab3d
a=ice-pwd:x9Y8z7W6v5U4t3S2r1Q0p9O8
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:active
a=mid:audio
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=rtcp-mux
a=msid:str1 mic1
a=ssrc:3001001 cname:cNaMe
m=video 9 UDP/TLS/RTP/SAVPF 100
a=rtpmap:100 VP8/90000
a=sendrecv
a=mid:video
a=rtcp-mux
a=rtcp-rsize
a=rtcp-fb:100 transport-cc
a=rid:l send
a=rid:h send
a=simulcast:send l;h
m=application 9 DTLS/SCTP 5000
a=mid:data
a=sctpmap:5000 webrtc-datachannel 65535
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=recvonly
a=mid:1
"""
HOST = Candidate("1", "udp", 2122260223, "192.168.1.20", 54321)


def changed(*changes: tuple[str, str]) -> Answer:
    sdp = EXAMPLE
    for old, new in changes:
        assert old in sdp
        sdp = sdp.replace(old, new)
    return read_answer_untrusted(sdp)


def with_candidate(line: str) -> tuple[Candidate, ...]:
    start = EXAMPLE.index("a=candidate:1")
    end = EXAMPLE.index("a=ice-ufrag")
    return read_answer_untrusted(f"{EXAMPLE[:start]}a=candidate:{line}\n{EXAMPLE[end:]}").candidates


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_answer_of_the_document(line_end: str) -> None:
    assert read_answer_untrusted(EXAMPLE.replace("\n", line_end)) == Answer(
        ufrag="Ab3d",
        pwd="x9Y8z7W6v5U4t3S2r1Q0p9O8",
        fingerprints=(("sha-256", FINGERPRINT),),
        setup="active",
        candidates=(
            HOST,
            Candidate("2", "udp", 1686052607, "198.51.100.77", 54321, "srflx", "192.168.1.20", 54321),
            Candidate("3", "udp", 41885439, "198.51.100.9", 61000, "relay", "198.51.100.77", 54321),
        ),
        audio_ssrc=3001001,
        rids=("l", "h"),
        video_direction="sendrecv",
        feedback={
            "audio": frozenset(),
            "video": frozenset({"transport-cc"}),
            "data": frozenset(),
            "1": frozenset(),
        },
        sctp_port=5000,
    )


def test_the_real_client_without_camera(data: Path) -> None:
    answer = read_answer_untrusted((data / "answer-audio-only.sdp").read_text())
    assert (answer.ufrag, answer.pwd) == ("Kz+O", answer.pwd)
    assert answer.setup == "active"
    assert answer.fingerprints[0][0] == "sha-256"
    assert answer.fingerprints[0][1].startswith("A4:4D:7E:CF")
    assert [(candidate.host, candidate.port) for candidate in answer.candidates] == [
        ("127.0.0.1", 45068),
        ("192.0.2.2", 38233),
        ("::1", 37509),
        ("fd00::2", 57047),
    ]
    assert answer.audio_ssrc == 3991940202
    assert (answer.video_ssrcs, answer.rids, answer.video_direction) == ((), (), "recvonly")
    assert answer.takes("audio", "transport-cc")
    assert not answer.takes("video", "nack pli")
    assert answer.rejected == frozenset()
    assert set(answer.feedback) == {"audio", "video", "data", *(str(mid) for mid in range(1, 15))}
    assert (answer.sctp_port, answer.max_message_size) == (5000, 65536)


def test_the_real_client_with_camera(data: Path) -> None:
    answer = read_answer_untrusted((data / "answer-simulcast.sdp").read_text())
    assert (answer.rids, answer.video_ssrcs, answer.video_direction) == (("l", "h"), (), "sendrecv")
    assert answer.audio_ssrc == 2293501298


def test_the_password_does_not_show_in_a_repr() -> None:
    assert "x9Y8z7W6" not in repr(read_answer_untrusted(EXAMPLE))


def test_transport_attributes_may_stand_at_session_level() -> None:
    moved = [
        line + "\n"
        for line in EXAMPLE.splitlines()
        if line.startswith(("a=ice-", "a=fingerprint", "a=setup"))
    ]
    sdp = EXAMPLE
    for line in moved:
        sdp = sdp.replace(line, "")
    assert read_answer_untrusted(sdp.replace("t=0 0\n", "t=0 0\n" + "".join(moved))) == read_answer_untrusted(
        EXAMPLE
    )


def test_all_fingerprints_are_kept_and_spelt_alike() -> None:
    sha1 = ":".join(["bb"] * 20)
    answer = changed(
        (
            f"a=fingerprint:sha-256 {FINGERPRINT}",
            f"a=fingerprint:SHA-1 {sha1}\na=fingerprint:SHA-256 {FINGERPRINT.lower()}",
        )
    )
    assert answer.fingerprints == (("sha-1", sha1.upper()), ("sha-256", FINGERPRINT))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("m=audio 54321", "m=audio 0"),
        ("m=audio 54321", "m=audio x"),
        ("m=audio 54321", "m=audio 65536"),
        ("m=audio 54321 UDP/TLS/RTP/SAVPF 111", "m=audio 54321"),
        ("m=audio 54321", "m=video 54321"),
        ("a=ice-ufrag:Ab3d\n", ""),
        ("a=ice-ufrag:Ab3d", "a=ice-ufrag:Ab3"),
        ("a=ice-ufrag:Ab3d", "a=ice-ufrag:Ab 3d"),
        ("a=ice-pwd:x9Y8z7W6v5U4t3S2r1Q0p9O8", "a=ice-pwd:short"),
        ("a=ice-pwd:x9Y8z7W6v5U4t3S2r1Q0p9O8\n", ""),
        ("a=setup:active\n", ""),
        ("a=setup:active", "a=setup:holdconn"),
        ("a=rtcp-mux\n", ""),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        (FINGERPRINT, FINGERPRINT[:-3]),
        (FINGERPRINT, "zz" + FINGERPRINT[2:]),
    ],
)
def test_what_the_server_insists_on(old: str, new: str) -> None:
    with pytest.raises(BadPacket) as caught:
        changed((old, new))
    assert caught.value.reason is Drop.SDP_MALFORMED


@pytest.mark.parametrize("sdp", ["", "v=0", "m=", "m=audio", "\x00", "m=audio ٣ a b", "a" * 32768])
def test_what_is_no_answer_is_refused(sdp: str) -> None:
    with pytest.raises(BadPacket) as caught:
        read_answer_untrusted(sdp)
    assert caught.value.reason is Drop.SDP_MALFORMED


@pytest.mark.parametrize(
    "line",
    [
        "1 1 udp 1 0b1c2d3e-1111-2222-3333-444455556666.local 5000 typ host",
        "1 1 tcp 1 192.168.1.20 9 typ host tcptype active",
        "1 1 tcp 1 192.168.1.20 9 typ host",
        "1 2 udp 1 192.168.1.20 5000 typ host",
        "1 1 sctp 1 192.168.1.20 5000 typ host",
        "1 1 udp 1 192.168.1.20 0 typ host",
        "1 1 udp 1 192.168.1.20 65536 typ host",
        "1 1 udp -1 192.168.1.20 5000 typ host",
        "1 1 udp 4294967296 192.168.1.20 5000 typ host",
        "1 1 udp 1 192.168.1.20 5000 kind host",
        "1 1 udp 1 192.168.1.20 5000 typ unheard",
        "1 1 udp 1 224.0.0.1 5000 typ host",
        "1 1 udp 1 0.0.0.0 5000 typ host",
        "1 1 udp 1 :: 5000 typ host",
        "1 1 udp 1 fe80::1%eth0 5000 typ host",
        "é 1 udp 1 192.168.1.20 5000 typ host",
        f"{'f' * 33} 1 udp 1 192.168.1.20 5000 typ host",
        "1 1 udp 1 192.168.1.20 5000",
        "",
    ],
)
def test_a_candidate_of_no_use_is_skipped(line: str) -> None:
    assert with_candidate(line) == ()


def test_candidates_come_in_many_forms() -> None:
    assert with_candidate("1 1 UDP 2122260223 192.168.1.20 54321 typ host") == (HOST,)
    assert with_candidate("1 1 tcp 5 ::1 9 typ host tcptype passive") == (
        Candidate("1", "tcp", 5, "::1", 9, tcptype="passive"),
    )
    assert with_candidate("1 1 udp 5 192.0.2.1 9 typ srflx raddr a.local rport 5") == (
        Candidate("1", "udp", 5, "192.0.2.1", 9, "srflx"),
    )


def test_candidates_of_later_sections_and_beyond_the_32nd_are_not_read() -> None:
    assert (
        len(changed(("a=mid:video", "a=mid:video\na=candidate:9 1 udp 1 192.0.2.1 9 typ host")).candidates)
        == 3
    )
    many = "".join(f"a=candidate:9 1 udp 1 192.0.2.1 {port} typ host\n" for port in range(1, 100))
    assert len(changed(("a=ice-ufrag", many + "a=ice-ufrag")).candidates) == 32


def test_without_a_microphone_there_is_no_audio_ssrc() -> None:
    assert changed(("a=ssrc:3001001 cname:cNaMe\n", "")).audio_ssrc is None
    assert changed(("a=ssrc:3001001", "a=ssrc:x")).audio_ssrc is None


def test_the_first_ssrc_of_a_section_counts_and_video_ssrcs_are_read_if_named() -> None:
    answer = changed(
        ("a=ssrc:3001001 cname:cNaMe", "a=ssrc:7 cname:a\na=ssrc:7 msid:a b\na=ssrc:8 cname:a"),
        ("a=mid:video", "a=mid:video\na=ssrc:20 cname:a\na=ssrc:20 msid:a b\na=ssrc:21 cname:a"),
    )
    assert answer.audio_ssrc == 7
    assert answer.video_ssrcs == (20, 21)


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly", "inactive"])
def test_video_direction(direction: str) -> None:
    answer = changed(("a=sendrecv\na=mid:video", f"a={direction}\na=mid:video"))
    assert answer.video_direction == direction


def test_video_direction_falls_back_to_the_session_and_to_sendrecv() -> None:
    bare = ("a=sendrecv\na=mid:video", "a=mid:video")
    assert changed(bare).video_direction == "sendrecv"
    assert changed(bare, ("t=0 0", "t=0 0\na=inactive")).video_direction == "inactive"


def test_rejected_sections_are_known_by_mid() -> None:
    answer = changed(("m=video 9", "m=video 0"), ("m=application 9", "m=application 0"))
    assert answer.rejected == {"video", "data"}
    assert answer.video_direction == "inactive"
    assert answer.sctp_port is None


def test_feedback_is_read_per_section() -> None:
    answer = changed(
        ("a=rtcp-fb:100 transport-cc", "a=rtcp-fb:100 NACK  PLI\na=rtcp-fb:* nack\na=rtcp-fb:100 ccm fir"),
        ("a=mid:1", "a=mid:1\na=rtcp-fb:111 nack"),
    )
    assert answer.feedback["video"] == {"nack pli", "nack", "ccm fir"}
    assert answer.takes("1", "nack")
    assert not answer.takes("2", "nack")


@pytest.mark.parametrize(
    ("lines", "port", "size"),
    [
        ("m=application 9 DTLS/SCTP 5001\na=mid:data", 5001, 65536),
        ("m=application 9 DTLS/SCTP 5001\na=mid:data\na=sctpmap:5002 webrtc-datachannel 16", 5002, 65536),
        (
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=sctp-port:5003\na=max-message-size:262144",
            5003,
            262144,
        ),
        ("m=application 9 DTLS/SCTP webrtc-datachannel\na=sctp-port:5004\na=max-message-size:0", 5004, 0),
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=max-message-size:x", 5000, 65536),
        ("m=application 9 TCP/DTLS/SCTP webrtc-datachannel\na=sctp-port:99999", 5000, 65536),
        ("m=application 9 UDP/BFCP *", None, 65536),
    ],
)
def test_the_data_channel_comes_in_two_spellings(lines: str, port: int | None, size: int) -> None:
    spelt = "m=application 9 DTLS/SCTP 5000\na=mid:data\na=sctpmap:5000 webrtc-datachannel 65535"
    answer = changed((spelt, lines))
    assert (answer.sctp_port, answer.max_message_size) == (port, size)


def test_an_ice_lite_client_is_known() -> None:
    assert changed(("t=0 0", "t=0 0\na=ice-lite")).ice_lite
    assert not read_answer_untrusted(EXAMPLE).ice_lite


def test_what_offer_writes_this_reader_reads(make_parameters: Callable[..., OfferParameters]) -> None:
    parameters = make_parameters()
    answer = read_answer_untrusted(write_offer(parameters))
    assert answer.ufrag == parameters.ufrag
    assert answer.candidates == parameters.candidates
    assert answer.takes("6", "nack pli")
    assert answer.sctp_port == 5000


@given(st.text(max_size=400))
def test_any_text_is_an_answer_or_a_bad_packet(text: str) -> None:
    for sdp in (text, EXAMPLE + text, EXAMPLE.replace("a=mid:audio", text), EXAMPLE.replace("Ab3d", text)):
        try:
            read_answer_untrusted(sdp)
        except BadPacket:
            pass


@given(st.data())
def test_a_damaged_answer_is_an_answer_or_a_bad_packet(data: st.DataObject) -> None:
    lines = EXAMPLE.splitlines()
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = data.draw(st.integers(0, len(line)))
        lines[at] = line[:cut] + data.draw(st.text(max_size=4)) + line[cut + data.draw(st.integers(0, 3)) :]
        if data.draw(st.booleans()):
            lines.insert(data.draw(st.integers(0, len(lines))), lines.pop(at))
    try:
        answer = read_answer_untrusted("\n".join(lines))
    except BadPacket:
        return
    assert answer.setup in ("active", "passive", "actpass")
    assert all(0 < candidate.port < 65536 for candidate in answer.candidates)
