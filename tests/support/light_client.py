"""A participant without a process: the protocol engines of :mod:`support.webrtc_client` on a UDP socket.

For tests that run a worker in their own process and want many participants cheaply. It does not send
media. The independent client is :mod:`support.aiortc_client`.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, TypeAlias

import trio

from sft.calls.requests import Accepted, Answer, Connect, Offered, Refused, Reply, Request
from sft.model import ParticipantId
from sft.webrtc.dtls import DtlsContext
from support.webrtc_client import Client
from support.wire import message, new_id

Json: TypeAlias = dict[str, Any]
Handle: TypeAlias = Callable[[Request], Awaitable[Reply]]

AUDIO_SSRC = 3001001

LINGER = 0.01
"""Seconds in which a closed port's last words are read."""


class JoinRefused(Exception):
    """The server has no place."""


class LightClient:
    """One participant of one call. Make it with :func:`light_client` or :func:`stranger`."""

    def __init__(
        self,
        handle: Handle,
        call: str,
        context: DtlsContext,
        socket: trio.socket.SocketType,
        nursery: trio.Nursery,
        id: ParticipantId | None = None,
    ) -> None:
        """``id``: of a participant that is there already and wants another connection."""
        self.id = id or ParticipantId(new_id(), "_")
        self.call = call
        self._update = id is not None
        self._handle = handle
        self._socket = socket
        self._nursery = nursery
        self._engine = Client(context)
        self._engine.random = os.urandom
        self._engine.ufrag, self._engine.pwd = new_id()[:8], new_id()
        self._changed = trio.Event()
        self._waiting = trio.CancelScope()
        self.fingerprint = context.identity.fingerprint
        """What the answer says of the certificate."""
        self.gone = False
        """The server said so, or has closed its port."""
        self.lose: Callable[[bytes], bool] = lambda data: False
        """Which of the datagrams that are sent do not arrive."""

    @property
    def checked(self) -> bool:
        """Whether a check was answered."""
        return bool(self._engine.answers)

    @property
    def has_keys(self) -> bool:
        """Whether DTLS is up."""
        return self._engine.dtls.srtp is not None

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

    async def join(self) -> None:
        """All steps, until the data channel is open."""
        await self.ask()
        await self.answer()
        await self.check()
        await self.start_dtls()
        await self.until(lambda: self._engine.channel_open)

    async def ask(self) -> None:
        """CONFCONN, and the offer. :class:`JoinRefused` when there is none."""
        request = Connect(self.call, self.id, "192.0.2.1", update=self._update, simulcast=False)
        offered = await self._request(request)
        if isinstance(offered, Refused):
            raise JoinRefused(offered.reason)
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
        self._nursery.start_soon(self._run)

    async def answer(self) -> None:
        """SETUP, which the server must take."""
        reply = await self._request(Answer(self.call, self.id, self._answer()))
        assert isinstance(reply, Accepted), reply

    async def say_answer(self, sdp: str) -> bool:
        """SETUP with any text at all. Whether the server took it."""
        return isinstance(await self._request(Answer(self.call, self.id, sdp)), Accepted)

    async def _request(self, request: Connect | Answer) -> Reply:
        """As over HTTP, who is cancelled asks nobody any more: the server may be gone by then."""
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._handle(request)

    async def check(self) -> None:
        """An ICE check, which nominates."""
        self._engine.check()
        await self._flush()

    async def start_dtls(self) -> None:
        self._engine.start_dtls(trio.current_time())
        await self._flush()
        self._waiting.cancel()  # there is a deadline now

    async def send(self, data: bytes) -> None:
        """One datagram as it is."""
        with suppress(ConnectionRefusedError):  # the server's port is closed
            await self._socket.send(data)

    async def say(self, type: str, **fields: Any) -> None:
        """Send a message on the data channel."""
        text = json.dumps(message(type, self.call, self.id.user, **fields))
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
        old, self._socket = self._socket, _bound()
        try:
            await self._socket.connect(old.getpeername())
            self._engine.check()
            await self._flush()
            self._waiting.cancel()
        finally:
            old.close()

    async def until(self, happened: Callable[[], bool], seconds: float = 10) -> None:
        """Wait for datagrams until ``happened()``."""
        with trio.fail_after(seconds):
            while not happened():
                assert not self.gone, "the server has closed the connection"
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
                f"a=fingerprint:sha-256 {self.fingerprint}",
                f"a=setup:{engine.setup}",
                f"a=ssrc:{AUDIO_SSRC} cname:light",
                "m=application 9 DTLS/SCTP 5000",
                "a=mid:data",
                "",
            ]
        )

    async def _run(self) -> None:
        """Carry datagrams and deadlines until the other side closes."""
        try:
            await self._carry()
        finally:
            self.gone = True
            self._changed.set()
            self._changed = trio.Event()

    async def _carry(self) -> None:
        engine, refused = self._engine, False
        while engine.closed is None:
            await self._flush()
            wait = float("inf") if engine.deadline is None else engine.deadline - trio.current_time()
            with trio.move_on_after(LINGER if refused else max(0.0, wait)) as scope:
                self._waiting = scope
                try:
                    data, address = await self._socket.recvfrom(2048)
                except ConnectionRefusedError:  # it overtakes what came before the port was closed
                    refused = True
                    continue
            now = trio.current_time()
            if scope.cancelled_caught and refused:
                return
            if scope.cancelled_caught:
                engine.handle_timeout(now)
            elif address == self.server_address:  # or it was for whom this port belonged to before
                engine.receive(data, now)
            self._changed.set()
            self._changed = trio.Event()

    async def _flush(self) -> None:
        while datagrams := self._engine.datagrams():
            for data in datagrams:
                if not self.lose(data):
                    await self.send(data)


@asynccontextmanager
async def stranger(
    handle: Handle, call: str, context: DtlsContext, id: ParticipantId | None = None
) -> AsyncIterator[LightClient]:
    """A client that has not asked to join yet; closed without a word at the end. ``id``: of a participant
    that is there already and wants another connection."""
    with ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            client = LightClient(handle, call, context, _bound(), nursery, id)
            stack.callback(client.free)
            yield client
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def light_client(handle: Handle, call: str, context: DtlsContext) -> AsyncIterator[LightClient]:
    """A client that has joined the call; closed without a word at the end."""
    async with stranger(handle, call, context) as client:
        await client.join()
        yield client


def _bound() -> trio.socket.SocketType:
    """Made without a moment in which a cancelled test would lose it."""
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind(("127.0.0.1", 0))
    return trio.socket.from_stdlib_socket(own)


def _value(sdp: str, name: str, separator: str = ":") -> str:
    """The first value of an attribute."""
    found = re.search(rf"a={name}{separator}(\S[^\r\n]*)", sdp)
    assert found is not None, name
    return found[1]
