"""way_in.c, reader.c and waiter.c."""

from collections.abc import Callable
from typing import Any

from sft.forwarding.endpoint import Endpoint
from sft.model import Drop, MediaKind
from sft.plugin import OnReadable, ReadableBase
from sft_engine_native.engine import NativeEngine

def set_up(
    *,
    endpoint: type,
    source: type,
    numbering: type,
    audio: MediaKind,
    drop_silent: Drop,
    silent: int,
    most_dropped: int,
    unprotect: int,
    fan_out: int,
    flush: int,
) -> None: ...

class Reader:
    def __init__(
        self, engine: int, owner: NativeEngine, base: ReadableBase, endpoint_of: Callable[[Any], Endpoint]
    ) -> None: ...
    def __call__(self, now: float, /) -> None: ...

class Waiter:
    def __init__(
        self,
        engine: int,
        owner: NativeEngine,
        epoll: int,
        loop: int,
        offset: float,
        watched: dict[int, OnReadable],
        on_error: Callable[[BaseException], None],
    ) -> None: ...
    def __call__(self, seconds: float, /) -> bool: ...
