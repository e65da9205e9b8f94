from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import LocalError
from sft.model import Candidate
from sft.signalling.messages import MAX_VSTREAMS
from sft.signalling.offer import MAX_SDP_BYTES, Feedback, OfferParameters, write_offer

Make = Callable[..., OfferParameters]

FINGERPRINT = ":".join(["0A"] * 32)
NO_FEEDBACK = Feedback(audio=("transport-cc",), video=("transport-cc",), audio_slots=(), video_slots=())
TRANSPORT = f"""\
a=ice-ufrag:k3T9wQz1LmN0pXy
a=ice-pwd:Zb7Qe2Rt9Yu4Io1Pa6Sd3Fg8Hj5Kl0X
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
"""
# Protocol section 3.4.5, with its invented values; x-OFFER, ice-options and vad=on are left out,
# lite and the end of the candidates are said.
EXAMPLE = f"""\
v=0
o=- 2718281828 1414213562 IN IP4 203.0.113.5
s=-
c=IN IP4 203.0.113.5
t=0 0
a=tool:sftd 5.0.1 (x86_64/linux)
a=ice-lite
a=extmap-allow-mixed:true
a=group:BUNDLE audio video data 1 2
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=rtpmap:111 opus/48000/2
a=fmtp:111 stereo=0;sprop-stereo=0;useinbandfec=1;cbr=1
a=rtcp:9
a=sendrecv
a=ptime:40
a=mid:audio
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=rtcp-fb:111 transport-cc
a=rtcp-mux
{TRANSPORT}\
a=candidate:3d7c0a11 1 UDP 2113995519 203.0.113.5 41234 typ host
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 100 101
a=rtpmap:100 VP8/90000
a=rtpmap:101 rtx/90000
a=fmtp:101 apt=100
a=rtcp:9
a=sendrecv
a=mid:video
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=extmap:5 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
a=extmap:11 http://www.webrtc.org/experiments/rtp-hdrext/generic-frame-descriptor-00
a=rtcp-mux
a=rtcp-rsize
{TRANSPORT}\
a=rtcp-fb:100 transport-cc
a=msid:33333333-aaaa-4bbb-8ccc-000000000001 vtrack
a=ssrc:77001 cname:33333333-aaaa-4bbb-8ccc-000000000001
a=ssrc:77001 msid:33333333-aaaa-4bbb-8ccc-000000000001 33333333-aaaa-4bbb-8ccc-000000000001
a=rid:l recv
a=rid:h recv
a=simulcast:recv l;h
m=application 9 DTLS/SCTP 5000
a=sendrecv
a=mid:data
{TRANSPORT}\
a=sctpmap:5000 webrtc-datachannel 16
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 127.0.0.1
a=rtpmap:111 opus/48000/2
a=fmtp:111 stereo=0;sprop-stereo=0;useinbandfec=1;cbr=1
a=sendonly
a=mid:1
a=rtcp-mux
{TRANSPORT}\
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=ssrc:50001 cname:11111111-aaaa-4bbb-8ccc-000000000001
a=ssrc:50001 msid:11111111-aaaa-4bbb-8ccc-000000000001 11111111-aaaa-4bbb-8ccc-000000000001
m=video 9 UDP/TLS/RTP/SAVPF 100
c=IN IP4 127.0.0.1
a=rtpmap:100 VP8/90000
a=sendonly
a=mid:2
a=rtcp-mux
a=rtcp-rsize
{TRANSPORT}\
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:11 http://www.webrtc.org/experiments/rtp-hdrext/generic-frame-descriptor-00
a=ssrc:60001 cname:22222222-aaaa-4bbb-8ccc-000000000001
a=ssrc:60001 msid:22222222-aaaa-4bbb-8ccc-000000000001 22222222-aaaa-4bbb-8ccc-000000000001
"""


def sections(sdp: str) -> list[list[str]]:
    return [part.split("\r\n") for part in sdp.split("\r\nm=")]


def test_the_offer_is_the_one_of_the_document(make_parameters: Make) -> None:
    sdp = write_offer(make_parameters(audio=1, video=1, feedback=NO_FEEDBACK))
    assert sdp == EXAMPLE.replace("\n", "\r\n")


def test_a_whole_offer_has_the_mids_in_order(make_parameters: Make) -> None:
    sdp = write_offer(make_parameters())
    mids = [line[6:] for line in sdp.split("\r\n") if line.startswith("a=mid:")]
    assert mids == ["audio", "video", "data", *(str(mid) for mid in range(1, 15))]
    assert f"a=group:BUNDLE {' '.join(mids)}\r\n" in sdp
    kinds = [section[0].split(" ")[0] for section in sections(sdp)[1:]]
    assert kinds == ["audio", "video", "application", *["audio"] * 5, *["video"] * 9]


def test_candidates_stand_in_the_first_section_only(make_parameters: Make) -> None:
    candidates = (
        Candidate("1", "udp", 2130706431, "203.0.113.5", 40000),
        Candidate("2", "udp", 2130706430, "2001:db8::5", 40000),
        Candidate("3", "udp", 1694498815, "198.51.100.7", 40000, "srflx", "10.0.0.5", 40000),
        Candidate("4", "tcp", 1015021823, "203.0.113.5", 443, tcptype="passive"),
    )
    first, *rest = sections(write_offer(make_parameters(candidates=candidates)))[1:]
    assert first[-5:] == [
        "a=candidate:1 1 UDP 2130706431 203.0.113.5 40000 typ host",
        "a=candidate:2 1 UDP 2130706430 2001:db8::5 40000 typ host",
        "a=candidate:3 1 UDP 1694498815 198.51.100.7 40000 typ srflx raddr 10.0.0.5 rport 40000",
        "a=candidate:4 1 TCP 1015021823 203.0.113.5 443 typ host tcptype passive",
        "a=end-of-candidates",
    ]
    assert not any("candidate" in line for section in rest for line in section)


def test_simulcast_and_lite_are_said_only_if_wanted(make_parameters: Make) -> None:
    plain = write_offer(make_parameters(lite=False, simulcast=False))
    assert not any(word in plain for word in ("ice-lite", "rid:", "simulcast"))
    session, *media = sections(write_offer(make_parameters()))
    assert "a=ice-lite" in session
    assert media[1][-3:] == ["a=rid:l recv", "a=rid:h recv", "a=simulcast:recv l;h"]
    assert sum("a=rid:l recv" in section for section in media) == 1


def test_feedback_is_a_value(make_parameters: Make) -> None:
    def offered(feedback: Feedback) -> list[list[str]]:
        sdp = write_offer(make_parameters(audio=1, video=1, feedback=feedback))
        return [[line[10:] for line in part if "rtcp-fb" in line] for part in sections(sdp)[1:]]

    assert offered(Feedback()) == [
        ["111 transport-cc", "111 nack"],
        ["100 transport-cc", "100 nack", "100 nack pli", "100 ccm fir"],
        [],
        ["111 nack"],
        ["100 goog-remb", "100 nack", "100 nack pli", "100 ccm fir"],
    ]
    assert offered(NO_FEEDBACK) == [["111 transport-cc"], ["100 transport-cc"], [], [], []]


def test_an_ipv6_host_is_named_as_such(make_parameters: Make) -> None:
    sdp = write_offer(make_parameters(host="2001:db8::5"))
    assert "o=- 2718281828 1414213562 IN IP6 2001:db8::5\r\n" in sdp
    assert "c=IN IP6 2001:db8::5\r\n" in sdp


def test_the_most_slots_a_client_may_ask_for_fit_its_buffer(make_parameters: Make) -> None:
    address = "2001:db8:1111:2222:3333:4444:5555:6666"
    candidates = [Candidate("f" * 8, "udp", 2130706431, address, 65535)] * 16
    sdp = write_offer(make_parameters(video=MAX_VSTREAMS, host=address, candidates=candidates))
    assert len(sdp) < 31000


def test_an_offer_that_does_not_fit_is_our_fault(make_parameters: Make) -> None:
    with pytest.raises(LocalError, match=str(MAX_SDP_BYTES)):
        write_offer(make_parameters(video=60))


@pytest.mark.parametrize("name", ["host", "ufrag", "pwd", "tool", "rtcp_label"])
def test_a_value_with_a_line_break_is_our_fault(make_parameters: Make, name: str) -> None:
    with pytest.raises(LocalError, match="line break"):
        write_offer(make_parameters(**{name: "a\r\na=b"}))


def test_the_password_does_not_show_in_a_repr(make_parameters: Make) -> None:
    assert "Zb7Qe2Rt" not in repr(make_parameters())


def test_another_parser_reads_the_offer(make_parameters: Make) -> None:
    from aiortc.sdp import SessionDescription  # loads PyAV: only where it is needed

    parsed = SessionDescription.parse(write_offer(make_parameters()))
    assert [media.kind for media in parsed.media[:4]] == ["audio", "video", "application", "audio"]
    assert len(parsed.media) == 3 + 5 + 9
    audio, video, data, *slots = parsed.media
    assert [codec.mimeType for codec in audio.rtp.codecs] == ["audio/opus"]
    assert [codec.mimeType for codec in video.rtp.codecs] == ["video/VP8", "video/rtx"]
    assert [(c.ip, c.port, c.type, c.protocol) for c in audio.ice_candidates] == [
        ("203.0.113.5", 41234, "host", "UDP")
    ]
    assert audio.ice_candidates_complete
    assert audio.ice.iceLite
    assert audio.ice.usernameFragment == "k3T9wQz1LmN0pXy"
    assert audio.dtls.fingerprints[0].value == FINGERPRINT
    assert audio.dtls.role == "auto"
    assert data.sctpmap == {5000: "webrtc-datachannel 16"}
    assert [(slot.direction, slot.ssrc[0].ssrc) for slot in slots[:2]] == [
        ("sendonly", 50001),
        ("sendonly", 50002),
    ]
    assert {extension.id for extension in video.rtp.headerExtensions} == {2, 3, 4, 5, 11}


@given(audio=st.integers(0, 5), video=st.integers(0, 32), lite=st.booleans(), simulcast=st.booleans())
def test_any_offer_has_whole_lines_and_one_section_per_slot(
    make_parameters: Make, audio: int, video: int, lite: bool, simulcast: bool
) -> None:
    sdp = write_offer(make_parameters(audio, video, lite=lite, simulcast=simulcast))
    assert sdp.count("\r\nm=") == 3 + audio + video
    assert all(line[1] == "=" for line in sdp.removesuffix("\r\n").split("\r\n"))
