"""What Wire's clients and the server said to each other, message by message: a regression can be read.

    python tests/support/wire_transcript.py artifacts/wire-NAME.json [--client A]
    python tests/support/wire_transcript.py --join

The first prints a record that a failed test left; the second starts a server, has two clients join
one call, and prints that. A line is ``seconds client way text``; PINGs after a client's first are left out,
and a description is told by its number of sections.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Event = dict[str, Any]


def transcript(record: dict[str, Any], client: str | None = None) -> Iterator[str]:
    """The lines of one call's record; of one client only if it is named."""
    events = sorted(record["events"], key=lambda event: event["t"])
    names = {name: short for event in events for name, short in _names(event)}
    start = next((event["t"] for event in events if event["kind"] == "sft-request"), 0)
    pinged: set[tuple[str, str]] = set()
    for event in events:
        tell = _WAYS.get(event["kind"])
        if tell is None or client not in (None, event["client"]):
            continue
        way, text = tell(event)
        if '"type":"PING"' in text:
            if (event["client"], way) in pinged:
                continue
            pinged.add((event["client"], way))
        for name, short in names.items():
            text = text.replace(name, short)
        yield f"{(event['t'] - start) / 1000:8.3f} {event['client']} {way:<5} {text}"


def _names(event: Event) -> Iterator[tuple[str, str]]:
    """Long ids, and what to print in their place."""
    if event["kind"] == "sft-request":
        message = json.loads(event["body"])
        yield message["src_userid"], f"<{event['client']}>"
        yield urlsplit(event["url"]).path.rpartition("/")[2], "<call>"
    elif event["kind"] == "set-clients":
        for number, one in enumerate(event["clients"]):
            yield one["userid"], f"<user {chr(ord('A') + number)}>"
            yield one["clientid"], f"<client {chr(ord('A') + number)}>"


def _message(text: str) -> str:
    """One message as compact JSON, its description told by size."""
    try:
        message = json.loads(text)
    except ValueError:
        return text
    if isinstance(message, dict) and message.get("sdp"):
        sections = sum(line.startswith("m=") for line in message["sdp"].splitlines())
        message["sdp"] = f"{sections} sections, {len(message['sdp'])} bytes"
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def _field(way: str, *fields: str) -> Callable[[Event], tuple[str, str]]:
    return lambda event: (way, " ".join([event["kind"], *(str(event.get(field)) for field in fields)]))


_WAYS: dict[str, Callable[[Event], tuple[str, str]]] = {
    "sft-request": lambda e: ("HTTP>", f"POST {urlsplit(e['url']).path} {_message(e['body'])}"),
    "sft-response": lambda e: ("<HTTP", f"{e['status']} after {e['ms']} ms {_message(e['body'])}"),
    "sft-error": lambda e: ("<HTTP", f"failed: {e['message']}"),
    "dc-send": lambda e: ("DC>", _message(e["data"])),
    "dc-recv": lambda e: ("<DC", _message(e["data"])),
    "dc-state": lambda e: ("DC", f"{e['state']} label={e['label']} id={e['id']} opened by {e['origin']}"),
    "e2e-send": lambda e: ("E2E>", _message(e["data"])),
    "e2e-recv": lambda e: ("<E2E", _message(e["data"])),
    "pc-new": lambda e: ("RTC", f"new RTCPeerConnection {e['pc']}"),
    "pc-state": lambda e: ("RTC", f"{e['pc']} {e['attr']} {e['value']}"),
    "sdp": lambda e: ("RTC", f"{e['pc']} {e['side']} {e['type']}"),
    "sdp-error": lambda e: ("RTC", f"{e['pc']} {e['side']} failed: {e['message']}"),
    "pc-close": lambda e: ("RTC", f"{e['pc']} closed"),
    "api-start": _field("APP", "video"),
    "api-answer": _field("APP", "video"),
    "api-end": _field("APP"),
    "api-mute": _field("APP", "muted"),
    "api-video-state": _field("APP", "name"),
    "set-clients": lambda e: ("APP", f"members {len(e['clients'])}"),
    "set-epoch": _field("APP", "epoch"),
    "state": _field("APP", "state"),
    "incoming": _field("APP", "userid"),
    "estab": _field("APP", "userid"),
    "close": _field("APP", "reason"),
    "participants": lambda e: ("APP", f"participants {json.dumps(e['members'], separators=(',', ':'))}"),
    "page-crash": _field("APP"),
    "page-error": _field("APP", "message"),
    "page-rejection": _field("APP", "message"),
}
"""How each kind of event is told; what the harness records besides is left out."""


def _record_of_a_join() -> dict[str, Any]:
    from support.server import running_server
    from support.wire_client import Harness, wire_call

    harness = Harness()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_server(Path(folder), server={"cors_origins": ["*"]}) as server,
            wire_call(harness, "join", server.url, clients=2) as call,
        ):
            call.join(*call.clients)
            call.expect_heard(*call.clients)
            return call.record()
    finally:
        harness.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", nargs="?", type=Path)
    parser.add_argument("--join", action="store_true", help="have two clients join, and print that")
    parser.add_argument("--client", help="only what this one (A, B, ...) sent and got")
    options = parser.parse_args()
    if options.join == (options.record is not None):
        parser.error("either a record or --join")
    record = _record_of_a_join() if options.join else json.loads(options.record.read_text())
    for line in transcript(record, options.client):
        print(line)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `support` is
    main()
