"""What the secret is worth: who has another one gets nothing out of a call, and an independent
decoder with the right one reads what a page really sent."""

from __future__ import annotations

import base64
import hashlib

import av
import numpy
import pytest

from support.clients import ClientPool
from support.rtp import RtpPacket
from support.server import Server
from support.sframe import SFrameError, decode_header, decrypt, hkdf
from support.web_pages import ANN, BOB, EVE, OTHER_SECRET, SECRET, Browser, Json, hears

pytestmark = pytest.mark.browser

SAMPLE_RATE = 48_000


def total_failures(state: Json) -> int:
    failures: int = state["counters"]["authFailures"]
    return failures


def test_who_has_another_secret_gets_no_packet_and_by_force_nothing_that_can_be_decrypted(
    server: Server, browser: Browser
) -> None:
    ann, bob = (browser.join(server, person, "wrong secret", fps=30) for person in (ANN, BOB))
    ann.find(BOB)
    eve = browser.join(server, EVE, "wrong secret", OTHER_SECRET)
    eve.wait_for_text("#banner", "2 others are here with a different link")
    for page in (ann, bob):
        page.wait_for_text("#banner", "One other person is here with a different link")
    assert eve.state()["code"] != ann.state()["code"]
    flowing = ann.state()["packetsReceived"]
    ann.wait(lambda state: state["packetsReceived"] > flowing + 200)
    assert eve.state()["packetsReceived"] == 0
    assert not any(one["approved"] for one in eve.state()["participants"].values())

    for page in (ann, bob, eve):
        page.evaluate("sftTest.forceApprove()")
    state = eve.wait(lambda state: state["packetsReceived"] > 1000 and total_failures(state) > 500, 45)
    assert state["counters"]["decrypted"] == 0
    assert state["framesDecoded"] == 0
    assert state["slotsDb"] == [None] * 5
    for page, other in ((ann, BOB), (bob, ANN)):
        state = page.wait(lambda state, other=other: total_failures(state) > 100 and hears(state, other))  # type: ignore[misc]  # a default argument
        stranger = state["participants"][eve.state()["userid"]]
        assert (stranger["framesDecoded"], stranger["hue"], stranger["heard"]) == (0, None, [])
        assert sum(level is not None for level in state["slotsDb"]) == 1, "only one slot is not silent"
    for page in (ann, bob, eve):
        page.close()


def test_an_independent_decoder_reads_the_frames_that_a_page_sent(
    server: Server, browser: Browser, clients: ClientPool
) -> None:
    name = "decoder"
    call = hashlib.sha256(f"sft call {name}".encode()).digest()[:16].hex()
    base_key = hkdf(hashlib.sha256, base64.urlsafe_b64decode(SECRET + "=="), f"sft call {call}".encode(), 32)
    ann = browser.join(server, ANN, name)
    ann.evaluate("sftTest.forceApprove()")
    client = clients.make()
    client.join(server.url, call)
    slots = client.slot_ssrcs("audio")
    client.wait(lambda one: len(audio_packets(one.packets, slots)) > 60, 20)

    packets = audio_packets(client.packets, slots)
    frames = [packet.payload for packet in packets]
    assert {f"{decode_header(frame).kid:016x}" for frame in frames} == {ann.state()["kid"]}
    assert len({decode_header(frame).counter for frame in frames}) == len(frames)
    sound = decode_opus([decrypt(base_key, frame) for frame in frames])
    assert abs(loudest_frequency(sound) - ANN.tone) < 10
    with pytest.raises(SFrameError):
        decrypt(base_key[::-1], frames[0])
    ann.close()


def audio_packets(packets: list[RtpPacket], slots: list[int]) -> list[RtpPacket]:
    """The packets of the audio slots, in their order; an Opus frame is one packet."""
    audio = [packet for packet in list(packets) if packet.ssrc in slots]
    return sorted(audio, key=lambda packet: packet.sequence)


def decode_opus(frames: list[bytes]) -> numpy.ndarray:
    """The samples of one channel."""
    decoder = av.CodecContext.create("libopus", "r")
    decoded = [frame for data in frames for frame in decoder.decode(av.Packet(data))]
    return numpy.concatenate([frame.to_ndarray()[0, :: len(frame.layout.channels)] for frame in decoded])


def loudest_frequency(samples: numpy.ndarray) -> float:
    """In Hz."""
    spectrum = numpy.abs(numpy.fft.rfft(samples * numpy.hanning(len(samples))))
    return float(numpy.argmax(spectrum) * SAMPLE_RATE / len(samples))
