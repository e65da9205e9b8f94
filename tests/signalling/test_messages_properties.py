from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.model import IceServer
from sft.signalling.entries import Part, StreamRequest
from sft.signalling.messages import (
    MESSAGES,
    ConfConn,
    ConfPart,
    ConfStreams,
    KeyEnvelope,
    Message,
    Ping,
    PropSync,
    Setup,
    Update,
    decode_untrusted,
    encode,
)

EXAMPLES = (Path(__file__).parent / "data" / "messages.jsonl").read_text().splitlines()

u32 = st.integers(0, 2**32 - 1)
i64 = st.integers(-(2**63) + 1, 2**63 - 1)
short = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
full = short.filter(bool)
props = st.dictionaries(short, short, max_size=6)
envelope = {
    "sessid": short,
    "src_userid": short,
    "src_clientid": short,
    "dest_userid": short,
    "dest_clientid": short,
    "resp": st.booleans(),
}
parts = st.builds(
    Part,
    short,
    short,
    u32,
    u32,
    authorized=st.booleans(),
    timestamp=st.none() | i64,
    muted=st.none() | st.booleans(),
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        ConfConn,
        **envelope,
        ice_servers=st.lists(st.builds(IceServer, full, short, short), max_size=4).map(tuple),
        update=st.booleans(),
        tool=short,
        toolver=short,
        env=st.none() | i64,
        status=i64,
        selective_audio=st.booleans(),
        selective_video=st.booleans(),
        vstreams=st.integers(0, 32),
        sft_url=short,
        sft_tuple=short,
        username=short,
        credential=short,
    ),
    st.builds(Setup, **envelope, sdp=short, props=props, url=short, sft_tuple=short),
    st.builds(Update, **envelope, sdp=short, props=props, url=short, sft_tuple=short),
    st.builds(Ping, **envelope),
    st.builds(PropSync, **envelope, props=props),
    st.builds(
        ConfPart,
        **envelope,
        participants=st.lists(parts, max_size=4).map(tuple),
        should_start=st.booleans(),
        timestamp=st.integers(0, 2**63 - 1),
        seqno=u32,
        entropy=st.binary(max_size=16),
        sfts=st.lists(short, max_size=3).map(tuple),
    ),
    st.builds(
        ConfStreams,
        **envelope,
        streams=st.lists(st.builds(StreamRequest, short, i64), max_size=4).map(tuple),
        mode=short,
    ),
    st.builds(
        KeyEnvelope,
        **envelope,
        envelope=st.sampled_from(["", "AAAA", "3q2+7wABAgMEBQYHCAkKCw=="]),
        recipients=st.lists(short, max_size=3).map(tuple),
    ),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({key for line in EXAMPLES for key in json.loads(line)})


@given(messages)
def test_what_is_encoded_decodes_to_the_same(message: Message) -> None:
    text = encode(message)
    assert decode_untrusted(text) == message
    assert decode_untrusted(text.encode()) == message


@given(st.binary(max_size=300) | st.text(max_size=300))
@example(b"{}")
def test_any_input_decodes_or_is_a_bad_packet(data: bytes | str) -> None:
    try:
        decode_untrusted(data)
    except BadPacket:
        pass


@given(
    st.sampled_from(EXAMPLES),
    st.dictionaries(st.sampled_from(KEYS), json_values, max_size=3),
    st.sampled_from([*MESSAGES, None]),
)
def test_a_message_with_any_json_in_its_keys_decodes_or_is_a_bad_packet(
    line: str, changes: dict[str, object], kind: str | None
) -> None:
    changed = {**json.loads(line), **changes, **({"type": kind} if kind else {})}
    try:
        message = decode_untrusted(json.dumps(changed))
    except BadPacket:
        return
    assert decode_untrusted(encode(message)) == message


@given(st.sampled_from(EXAMPLES), st.data())
def test_a_damaged_message_decodes_or_is_a_bad_packet(line: str, data: st.DataObject) -> None:
    damaged = bytearray(line.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = decode_untrusted(bytes(damaged))
    except BadPacket:
        return
    encode(message).encode()
