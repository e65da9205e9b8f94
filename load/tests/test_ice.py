"""Checks and answers, against the server's own agents."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.signalling.sdp import Description, Section
from sft.webrtc import stun
from sft.webrtc.ice.lite import LiteAgent
from sft_load.ice import Checks
from sft_load.sdp import Offer

SERVER = ("192.0.2.1", 40000)
KEY = "s" * 24


def checks(*, lite: bool, ufrag: str = "theirs", pwd: str = KEY) -> Checks:
    made = Checks(os.urandom)
    made.set_remote(
        Offer(
            description=Description(Section(), []),
            ufrag=ufrag,
            pwd=pwd,
            fingerprint="",
            lite=lite,
            simulcast=True,
            candidates=(SERVER,),
            audio_slots=(),
            video_slots=(),
        )
    )
    return made


def test_a_lite_server_answers_and_is_told_to_use_the_path() -> None:
    agent = LiteAgent(os.urandom)
    ours = checks(lite=True, ufrag=agent.ufrag, pwd=agent.pwd)
    base: Any = object()
    agent.receive_untrusted(base, ours.request(), ("192.0.2.9", 5), 1.0)
    assert agent.selected is not None
    for _, data, _ in agent.datagrams():
        assert ours.receive_untrusted(data, SERVER) is None
    assert ours.valid


def test_a_full_server_controls_and_is_answered() -> None:
    ours = checks(lite=False)
    asked = stun.parse_untrusted(ours.request())
    assert stun.ICE_CONTROLLED in asked.attributes
    assert stun.USE_CANDIDATE not in asked.attributes
    name = (stun.USERNAME, f"{ours.ufrag}:theirs".encode())
    request = stun.write(stun.Kind.REQUEST, stun.BINDING, bytes(12), [name], ours.pwd.encode())
    data = ours.receive_untrusted(request, SERVER)
    assert data is not None
    answer = stun.parse_untrusted(data)
    assert answer.kind is stun.Kind.SUCCESS
    assert stun.has_integrity(answer, data, ours.pwd.encode())
    mapped = answer.attributes[stun.XOR_MAPPED_ADDRESS]
    assert stun.read_xor_address_untrusted(mapped, answer.transaction) == SERVER
    assert not ours.valid


def test_an_answer_counts_once_and_only_with_the_servers_key() -> None:
    ours = checks(lite=True)
    transaction = stun.parse_untrusted(ours.request()).transaction
    for key in (b"wrong", None):
        forged = stun.write(stun.Kind.SUCCESS, stun.BINDING, transaction, [], key)
        with pytest.raises(BadPacket):
            ours.receive_untrusted(forged, SERVER)
    true = stun.write(stun.Kind.SUCCESS, stun.BINDING, transaction, [], KEY.encode())
    ours.receive_untrusted(true, SERVER)
    assert ours.valid
    with pytest.raises(BadPacket):
        ours.receive_untrusted(true, SERVER)


@given(st.binary(max_size=200))
def test_anything_else_is_a_bad_packet_or_nothing(data: bytes) -> None:
    ours = checks(lite=False)
    try:
        assert ours.receive_untrusted(data, SERVER) is None
    except BadPacket:
        pass
    assert not ours.valid
