"""Engines are compared packet by packet: the Python engine against the simplest one that can be written."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Error

from sft.forwarding.engine import PythonEngine
from sft.model import Drop, Drops, SrtpParameters
from sft.webrtc.srtp import PROFILES, outbound_session


class ReferenceEngine:
    """Takes each packet apart and puts it together anew; nothing is kept, nothing is shared."""

    class Outlet:
        def __init__(self, srtp: SrtpParameters) -> None:
            self.session = outbound_session(srtp)

        def set_path(self, base, address) -> None:
            self.base, self.address = base, address

        def open_slot(self, ssrc: int) -> ReferenceEngine.Slot:
            return ReferenceEngine.Slot(self, ssrc)

        def send_rtcp(self, compound: bytes) -> None:
            self.base.send(self.session.protect_rtcp(compound), self.address)

        def close(self) -> None: ...

    class Slot:
        def __init__(self, outlet: ReferenceEngine.Outlet, ssrc: int) -> None:
            self.outlet, self.ssrc = outlet, ssrc

        def attach(self, sequence_offset: int, timestamp_offset: int) -> None:
            self.sequence_offset, self.timestamp_offset = sequence_offset, timestamp_offset

    def open_outlet(self, srtp: SrtpParameters) -> ReferenceEngine.Outlet:
        return self.Outlet(srtp)

    def make_route(self, slots, csrc: int) -> object:
        return list(slots), csrc

    def fan_out(self, route, packet: bytes, sequence: int) -> None:
        slots, csrc = route
        timestamp = struct.unpack("!I", packet[4:8])[0]
        for slot in slots:
            self.repeat(
                slot, packet, csrc, sequence + slot.sequence_offset, timestamp + slot.timestamp_offset
            )

    def repeat(self, slot, packet: bytes, csrc: int, sequence: int, timestamp: int) -> None:
        header = bytes((packet[0] - packet[0] % 16 + 1, packet[1]))
        header += struct.pack("!HIII", sequence % 65536, timestamp % 2**32, slot.ssrc, csrc)
        try:
            protected = slot.outlet.session.protect(header + packet[12 + packet[0] % 16 * 4 :])
        except Error:  # a number behind the SRTP window cannot be sent
            return
        slot.outlet.base.send(protected, slot.outlet.address)


class Wire:
    fd = None

    def __init__(self) -> None:
        self.sent: list = []

    def send(self, data: bytes, address) -> None:
        self.sent.append((data, address))


def parameters(profile: str, seed: int) -> SrtpParameters:
    size = PROFILES[profile].key_length + PROFILES[profile].salt_length
    key = bytes((seed + i) % 256 for i in range(size))
    return SrtpParameters(profile, inbound=key, outbound=key)


def native_engine(drops: Drops):
    """``plugins/engine_native``: `make` compiles it where there is a C compiler."""
    if importlib.util.find_spec("sft_engine_native") is None:
        pytest.skip("*** the native engine is not compiled ***")
    from sft_engine_native import NativeEngine

    return NativeEngine(drops)


ENGINES = [PythonEngine, native_engine]
"""Every engine that is to behave like the reference."""

MakeEngine = Callable[[Drops], object]

steps = st.one_of(
    st.tuples(st.just("packet"), st.binary(max_size=1200), st.integers(0, 15), st.booleans()),
    st.tuples(
        st.just("attach"),
        st.integers(0, 3),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.booleans(),
    ),
    st.tuples(st.just("repeat"), st.integers(0, 3), st.integers(0, 20)),
    st.tuples(st.just("rtcp"), st.integers(0, 1)),
    st.tuples(st.just("path"), st.integers(0, 1), st.integers(1, 9)),
)


every_engine = pytest.mark.parametrize("make_engine", ENGINES)


@every_engine
@pytest.mark.parametrize("profile", list(PROFILES))
@given(story=st.lists(steps, max_size=25))
def test_an_engine_sends_what_the_reference_sends(make_engine: MakeEngine, profile: str, story: list) -> None:
    results = [play(engine, profile, story) for engine in (ReferenceEngine(), make_engine(Drops()))]
    assert results[0] == results[1]


def play(engine, profile: str, story: list) -> list:
    """Two receivers with two slots each; a step that comes is done to all of it."""
    wires = [Wire(), Wire()]
    outlets = [engine.open_outlet(parameters(profile, seed)) for seed in (1, 100)]
    for outlet, wire in zip(outlets, wires, strict=True):
        outlet.set_path(wire, ("192.0.2.1", 1))
    slots = [outlet.open_slot(0x100 + i) for i, outlet in enumerate(outlets * 2)]
    for slot in slots:
        slot.attach(7, 70)
    routed = slots
    number, packets = 0, []
    for kind, *values in story:
        if kind == "packet":
            payload, csrcs, extension = values
            number += 1
            first = 0x80 | csrcs | (0x10 if extension else 0)
            packet = struct.pack("!BBHII", first, 0x80 | 100, number & 0xFFFF, number * 960, 0x5)
            packet += bytes(4 * csrcs) + (b"\xbe\xde\x00\x01\x10\x05\x00\x00" if extension else b"") + payload
            packets.append((packet, number))
            engine.fan_out(engine.make_route(routed, 0xC0FFEE), packet, number)
        elif kind == "attach":
            index, sequence_offset, timestamp_offset, alone = values
            slots[index].attach(sequence_offset, timestamp_offset)
            routed = [slots[index]] if alone else slots
        elif kind == "repeat" and packets:
            packet, sent = packets[values[1] % len(packets)]
            engine.repeat(slots[values[0]], packet, 0xC0FFEE, sent + 7 & 0xFFFF, sent * 960 + 70 & 0xFFFFFFFF)
        elif kind == "rtcp":
            outlets[values[0]].send_rtcp(bytes.fromhex("80c9000100000009"))
        elif kind == "path":
            outlets[values[0]].set_path(wires[values[0]], ("192.0.2.1", values[1]))
    return [wire.sent for wire in wires]


@every_engine
def test_without_a_path_packets_are_counted_as_failed(make_engine: MakeEngine) -> None:
    drops = Drops()
    engine = make_engine(drops)
    outlet = engine.open_outlet(parameters("SRTP_AEAD_AES_128_GCM", 1))
    slot = outlet.open_slot(1)
    engine.fan_out(engine.make_route([slot], 2), bytes.fromhex("80640001") + bytes(20), 1)
    outlet.send_rtcp(bytes.fromhex("80c9000100000009"))
    assert drops.counts[Drop.SEND_FAILED] == 2


@every_engine
def test_a_route_that_outlives_its_outlet_sends_nothing(make_engine: MakeEngine) -> None:
    drops = Drops()
    engine, wire = make_engine(drops), Wire()
    outlet = engine.open_outlet(parameters("SRTP_AEAD_AES_128_GCM", 1))
    outlet.set_path(wire, ("192.0.2.1", 1))
    route = engine.make_route([outlet.open_slot(1)], 2)
    outlet.close()
    del outlet
    engine.fan_out(route, bytes.fromhex("80640001") + bytes(20), 1)
    assert wire.sent == []


@every_engine
def test_a_packet_larger_than_the_buffer_is_counted(make_engine: MakeEngine) -> None:
    drops = Drops()
    engine = make_engine(drops)
    slot = engine.open_outlet(parameters("SRTP_AEAD_AES_128_GCM", 1)).open_slot(1)
    engine.fan_out(engine.make_route([slot], 2), bytes.fromhex("80640001") + bytes(3000), 1)
    assert drops.counts[Drop.TOO_LARGE] == 1
