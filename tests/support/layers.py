"""A sender of two layers of video and a receiver that watches them, in the calls of tests/forwarding."""

from __future__ import annotations

from typing import Any

HIGH, LOW = 0x1111, 0x2222
"""SSRCs of the layers."""


def watch_layers(call: Any) -> tuple[Any, Any]:
    """(sender, receiver): the high layer flows, the sender's client takes NACKs."""
    sender, receiver = call.join(nack=True), call.join()
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(LOW, "l", key=True)
    sender.video(HIGH, "h", key=True)
    call.advance(0.5)
    receiver.drain()
    return sender, receiver
