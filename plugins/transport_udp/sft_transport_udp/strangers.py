"""How much is heard of those who have not proven who they are."""

from __future__ import annotations

from typing import Final

from sft.model import Address, Drop, Drops

MAX_PER_SECOND: Final = 500
"""Datagrams of one unproven address that are looked at: more than a client sends that has changed its address
and not said so yet, by an ICE check."""

MAX_COUNTED: Final = 4096
"""Addresses counted at once. Who forges more of them is heard, which costs time and no memory."""


class Strangers:
    """Counts datagrams by address, a second at a time; one per socket."""

    __slots__ = ("_counts", "_drops", "_until")

    def __init__(self, drops: Drops) -> None:
        self._drops = drops
        self._counts: dict[Address, int] = {}
        self._until = 0.0

    def admit(self, address: Address, now: float) -> bool:
        """Whether to look at a datagram from there; if not it is counted as dropped."""
        if now >= self._until:
            self._counts.clear()
            self._until = now + 1.0
        count = self._counts.get(address, 0)
        if count >= MAX_PER_SECOND:
            self._drops.count(Drop.STRANGER)
            return False
        if count or len(self._counts) < MAX_COUNTED:
            self._counts[address] = count + 1
        return True
