"""The nursery ``sft_run`` gets: a plugin's task that crashes takes no call with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVarTuple

if TYPE_CHECKING:
    import trio

Ts = TypeVarTuple("Ts")


class PluginNursery:
    """Starts a plugin's background tasks. They are cancelled when the process stops.

    An exception that leaves a task ends that task only: it is logged with the plugin's name and
    counted as a fault of ``sft_run``. A task that should survive its faults loops by itself.
    """

    __slots__ = ("_nursery", "_on_fault")

    def __init__(self, nursery: trio.Nursery, on_fault: Callable[[BaseException], None]) -> None:
        self._nursery = nursery
        self._on_fault = on_fault

    def start_soon(
        self,
        async_fn: Callable[[*Ts], Awaitable[object]],
        *args: *Ts,
        name: str | None = None,
    ) -> None:
        """As :meth:`trio.Nursery.start_soon`."""
        self._nursery.start_soon(self._guard, async_fn, args, name=name or async_fn)

    async def _guard(self, async_fn: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        try:
            await async_fn(*args)
        except* Exception as fault:  # Cancelled is not an Exception: it goes its way
            self._on_fault(fault)
