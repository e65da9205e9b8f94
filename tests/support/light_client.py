"""A participant without a process: the protocol engines of :mod:`support.webrtc_client` on a UDP socket.

For tests that run a worker in their own process and want many participants cheaply. It does not send
media. The independent client is :mod:`support.aiortc_client`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, TypeAlias

import trio

from sft.calls.requests import Accepted, Answer, Connect, Offered, Reply, Request
from sft.model import ParticipantId
from sft.webrtc.dtls import DtlsContext
from support.webrtc_client import Client
from support.wire import message, new_id

Json: TypeAlias = dict[str, Any]
Handle: TypeAlias = Callable[[Request], Awaitable[Reply]]

AUDIO_SSRC = 3001001


class LightClient:
    """One participant of one call. Make it with :func:`light_client`."""

    def __init__(
        self, handle: Handle, call: str, context: DtlsContext, socket: trio.socket.SocketType
    ) -> None:
        self.id = ParticipantId(new_id(), "_")
        self._call = call
        self._handle = handle
        self._socket = socket
        self._engine = Client(context)
        self._engine.random = os.urandom
        self._engine.ufrag, self._engine.pwd = new_id()[:8], new_id()
        self._changed = trio.Event()
        self._waiting = trio.CancelScope()

    @property
    def messages(self) -> list[Json]:
        return [json.loads(text) for text in self._engine.messages]

    def of_type(self, type: str) -> list[Json]:
        return [received for received in self.messages if received["type"] == type]

    @property
    def roster(self) -> list[Json]:
        """The participants of the newest CONFPART."""
        lists = self.of_type("CONFPART")
        return lists[-1]["participants"] if lists else []

    async def join(self, nursery: trio.Nursery) -> None:
        """CONFCONN, SETUP, ICE, DTLS, until the data channel is open."""
        offered = await self._handle(Connect(self._call, self.id, "192.0.2.1", simulcast=False))
        assert isinstance(offered, Offered), offered
        offer = offered.sdp
        server = SimpleNamespace(
            ufrag=_value(offer, "ice-ufrag"),
            pwd=_value(offer, "ice-pwd"),
            fingerprint=_value(offer, "fingerprint:sha-256", " "),
        )
        candidate = _value(offer, "candidate").split()
        self._engine.set_remote(server)  # type: ignore[arg-type]  # what it reads of a peer
        await self._socket.connect((candidate[4], int(candidate[5])))
        answer = await self._handle(Answer(self._call, self.id, self._answer()))
        assert isinstance(answer, Accepted), answer
        self._engine.check()
        self._engine.start_dtls(trio.current_time())
        nursery.start_soon(self._run)
        await self.until(lambda: self._engine.channel_open)

    async def say(self, type: str, **fields: Any) -> None:
        """Send a message on the data channel."""
        text = json.dumps(message(type, self._call, self.id.user, **fields))
        self._engine.send(text, trio.current_time())
        await self._flush()

    async def approve_everybody(self) -> None:
        """Answer the newest CONFPART: all others are trusted."""
        others = [entry for entry in self.roster if entry["userid"] != self.id.user]
        trusted = [{**entry, "authorized": True} for entry in others]
        await self.say("CONFPART", resp=True, participants=trusted)

    async def leave(self) -> None:
        """HANGUP, and wait for the answer."""
        await self.say("HANGUP")
        await self.until(lambda: bool(self.of_type("HANGUP")))

    def free(self) -> None:
        """Close the socket, without a word."""
        self._socket.close()

    async def close(self) -> None:
        """Say goodbye in DTLS only."""
        self._engine.close(trio.current_time())
        await self._flush()

    @property
    def server_address(self) -> tuple[str, int]:
        address: tuple[str, int] = self._socket.getpeername()
        return address

    @property
    def local_address(self) -> tuple[str, int]:
        address: tuple[str, int] = self._socket.getsockname()
        return address

    async def move(self) -> None:
        """Go on from another address, as after a change of network: a check from there comes first."""
        old, self._socket = self._socket, await _bound()
        await self._socket.connect(old.getpeername())
        self._engine.check()
        await self._flush()
        self._waiting.cancel()
        old.close()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for datagrams until ``happened()``."""
        with trio.fail_after(10):
            while not happened():
                await self._changed.wait()

    def _answer(self) -> str:
        engine = self._engine
        return "\r\n".join(
            [
                "v=0",
                "m=audio 9 UDP/TLS/RTP/SAVPF 111",
                "a=mid:audio",
                "a=rtcp-mux",
                f"a=ice-ufrag:{engine.ufrag}",
                f"a=ice-pwd:{engine.pwd}",
                f"a=fingerprint:sha-256 {engine.context.identity.fingerprint}",
                f"a=setup:{engine.setup}",
                f"a=ssrc:{AUDIO_SSRC} cname:light",
                "m=application 9 DTLS/SCTP 5000",
                "a=mid:data",
                "",
            ]
        )

    async def _run(self) -> None:
        """Carry datagrams and deadlines until the other side closes."""
        engine = self._engine
        while engine.closed is None:
            await self._flush()
            wait = float("inf") if engine.deadline is None else engine.deadline - trio.current_time()
            with trio.move_on_after(max(0.0, wait)) as scope:
                self._waiting = scope
                try:
                    data = await self._socket.recv(2048)
                except ConnectionRefusedError:
                    return  # the server's port is closed
            now = trio.current_time()
            if scope.cancelled_caught:
                engine.handle_timeout(now)
            else:
                engine.receive(data, now)
            self._changed.set()
            self._changed = trio.Event()

    async def _flush(self) -> None:
        for data in self._engine.datagrams():
            await self._socket.send(data)


@asynccontextmanager
async def light_client(handle: Handle, call: str, context: DtlsContext) -> AsyncIterator[LightClient]:
    """A client that has joined the call; closed without a word at the end."""
    client = LightClient(handle, call, context, await _bound())
    try:
        async with trio.open_nursery() as nursery:
            await client.join(nursery)
            yield client
            nursery.cancel_scope.cancel()
    finally:
        client.free()


async def _bound() -> trio.socket.SocketType:
    socket = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await socket.bind(("127.0.0.1", 0))
    return socket


def _value(sdp: str, name: str, separator: str = ":") -> str:
    """The first value of an attribute."""
    found = re.search(rf"a={name}{separator}(\S[^\r\n]*)", sdp)
    assert found is not None, name
    return found[1]
