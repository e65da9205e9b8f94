"""The test's end of aiortc clients: each a process of its own, steered by commands, watched by events.

::

    ann, bob = clients.make(), clients.make()
    call = new_id()
    ann.join(server.url, call)
    bob.join(server.url, call)
    meet(ann, bob)
    ann.send(audio(ann.ssrcs["audio"], 50))
    bob.ping()       # everything the server forwarded before has come
    bob.packets
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias

from support.rtcp import asks_for_keyframe, read_compounds
from support.rtp import RtpPacket
from support.wire import new_id

Json: TypeAlias = dict[str, Any]

TESTS = Path(__file__).parent.parent


class ClientError(Exception):
    """A command failed in the client, or the client is gone."""


class AiortcClient:
    """One client process; a participant from :meth:`join` to :meth:`hangup` or :meth:`close`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.aiortc_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        self._changed = threading.Condition()
        self._answers: dict[int, Future[Any]] = {}
        self._gone = False
        self._clear("", "")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _clear(self, user: str, call: str) -> None:
        self.user = user
        self.call = call
        self.packets: list[RtpPacket] = []
        """Received RTP, in the order of arrival."""
        self.rtcp: list[bytes] = []
        """Received RTCP compounds, plain."""
        self.messages: list[Json] = []
        """Received on the data channel."""
        self.approved: set[str] = set()
        """Whom the newest CONFPART was answered with."""
        self.closed = False
        """The connection ended without our doing."""
        self.slots: list[Json] = []
        """Of the newest offer: mid, kind and ssrc."""
        self.ssrcs: dict[str, int] = {}
        """Our own, by ``audio``, ``video``, and ``h`` and ``l`` if the offer asks for layers."""
        self.offer: Json = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def join(self, url: str, call: str, *, user: str = "", **options: Any) -> Json:
        """Join a call; what was received before is forgotten. Gives the server's reply, whose
        ``status`` is that of HTTP and whose ``body`` is a CONFCONN if the server refused.
        ``options``: see :meth:`support.aiortc_client.Client.join`."""
        self._clear(user or new_id(), call)
        return self._connected(self.ask("join", url=url, call=call, user=self.user, **options))

    def update(self) -> Json:
        """Exchange the connection for a new one (UPDATE)."""
        return self._connected(self.ask("update"))

    def send(self, packets: Sequence[RtpPacket], rate: float = 500) -> None:
        """Send packets at ``rate`` a second, and return when all are sent."""
        self.start_sending(packets, rate).result(len(packets) / rate + 20)

    def start_sending(self, packets: Sequence[RtpPacket], rate: float) -> Future[int]:
        return self.start("send_rtp", packets=[packet.pack().hex() for packet in packets], rate=rate)

    def send_rtcp(self, compound: bytes) -> None:
        self.ask("send_rtp", packets=[compound.hex()], rate=1000)

    def lose_rtp(self, *, every: int) -> None:
        """From now on drop every n-th arriving RTP packet, as a network would; 0: none."""
        self.ask("lose_rtp", every=every)

    def say(self, type: str, **fields: Any) -> None:
        """Send a message on the data channel."""
        self.ask("say", type=type, **fields)

    def say_text(self, text: str) -> None:
        self.ask("say_text", text=text)

    def ping(self) -> None:
        """Wait until the server has worked through all we sent, and all it sent before has come.

        One UDP path carries everything and loopback keeps its order, so what has not come by now
        never will: absence can be asserted without waiting.
        """
        self.ask("ping")

    def hangup(self) -> None:
        self.ask("hangup")

    def close(self) -> None:
        """End the connection with DTLS's close_notify, without HANGUP."""
        self.ask("close")

    def kill(self) -> None:
        """SIGKILL: the client vanishes without a word."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End the process. May be called twice."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def keyframe_requests(self, ssrc: int) -> int:
        """How often we were asked for a keyframe of this source of ours."""
        return sum(asks_for_keyframe(packet, ssrc) for packet in read_compounds(self.rtcp))

    def has_rtcp(self, type: int, count: int | None = None) -> bool:
        """Whether an RTCP packet of this type (and format) came."""
        return any(
            packet.type == type and count in (None, packet.count) for packet in read_compounds(self.rtcp)
        )

    @property
    def roster(self) -> list[Json]:
        """The participants of the newest CONFPART."""
        lists = [message for message in self.messages if message["type"] == "CONFPART"]
        return lists[-1]["participants"] if lists else []

    @property
    def users(self) -> list[str]:
        """User ids of the newest CONFPART, in its order."""
        return [entry["userid"] for entry in self.roster]

    def slot_ssrcs(self, kind: str) -> list[int]:
        """The SSRCs of the slots of one kind, in their order."""
        return [slot["ssrc"] for slot in self.slots if slot["kind"] == kind]

    def approve(self, *others: AiortcClient, **changes: Any) -> None:
        """Say whom we trust (CONFPART), and wait until the server knows. ``changes``: of their entries."""
        entries = [{**self.entry(other), "authorized": True, **changes} for other in others]
        fields: Json = {"should_start": False, "timestamp": "0", "seqno": "0", "participants": entries}
        self.say("CONFPART", resp=True, **fields)
        self.ping()

    def look(self, *wanted: tuple[AiortcClient, int]) -> None:
        """Ask for videos (CONFSTREAMS), in the order of the slots, and wait until the server knows.
        Quality 0: any, 1: low, 2: high."""
        streams = [{"userid": sender.user, "quality": quality} for sender, quality in wanted]
        self.say("CONFSTREAMS", mode="list", streams=streams)
        self.ping()

    def entry(self, other: AiortcClient) -> Json:
        """What the newest CONFPART says of ``other``."""
        return next(entry for entry in self.roster if entry["userid"] == other.user)

    def of_type(self, type: str) -> list[Json]:
        """The received messages of one type."""
        return [message for message in self.messages if message["type"] == type]

    def wait(self, happened: Callable[[AiortcClient], object], seconds: float = 10) -> None:
        """Wait for events until ``happened(self)``; AssertionError after ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: happened(self) or self._gone, seconds)
            if not happened(self):
                raise AssertionError(
                    f"did not happen within {seconds} s: {len(self.packets)} packets, roster {self.users}, "
                    f"messages {[message['type'] for message in self.messages]}, closed {self.closed}, "
                    f"process {'gone' if self._gone else 'alive'}"
                )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Carry out a command; :class:`ClientError` if it fails."""
        return self.start(do, **arguments).result(30)

    def start(self, do: str, **arguments: Any) -> Future[Any]:
        """Begin a command, e.g. in several clients at once."""
        answer: Future[Any] = Future()
        with self._changed:
            if self._gone:
                raise ClientError("the client is gone")
            id = len(self._answers)
            self._answers[id] = answer
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": id, "do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ClientError("the client is gone") from None
        return answer

    def _connected(self, reply: Json) -> Json:
        if "slots" in reply:
            self.slots, self.ssrcs, self.offer = reply["slots"], reply["ssrcs"], reply["body"]
        return reply

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._take(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._gone = True
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ClientError("the client is gone"))
            self._changed.notify_all()

    def _take(self, value: Json) -> None:
        match value:
            case {"id": id, "error": error}:
                self._answers[id].set_exception(ClientError(error))
            case {"id": id, "result": result}:
                self._answers[id].set_result(result)
            case {"event": "rtp", "data": data}:
                self.packets.append(RtpPacket.parse(bytes.fromhex(data)))
            case {"event": "rtcp", "data": data}:
                self.rtcp.append(bytes.fromhex(data))
            case {"event": "message", "message": message}:
                self.messages.append(message)
            case {"event": "approved", "users": users}:
                self.approved = set(users)
            case {"event": "closed"}:
                self.closed = True


class ClientPool:
    """Client processes, kept for the next test: to start one costs half a second."""

    def __init__(self) -> None:
        self._idle: list[AiortcClient] = []
        self._used: list[AiortcClient] = []

    def make(self) -> AiortcClient:
        client = self._idle.pop() if self._idle else AiortcClient()
        self._used.append(client)
        return client

    def take_back(self) -> None:
        """Close what the test left open; a client that fails to is not used again."""
        used, self._used = self._used, []
        for client in used:
            try:
                client.close()
            except (ClientError, TimeoutError):
                client.stop()
            else:
                self._idle.append(client)

    def stop(self) -> None:
        for client in (*self._idle, *self._used):
            client.stop()


def meet(*clients: AiortcClient) -> None:
    """Wait until all see all in their rosters and the server has taken all their approvals."""
    users = {client.user for client in clients}
    for client in clients:
        others = users - {client.user}
        client.wait(lambda one, others=others: others <= one.approved)  # type: ignore[misc]  # bound now
    for client in clients:
        client.ping()


def settle(*clients: AiortcClient) -> None:
    """Wait until the server has forwarded what the clients sent, and the clients have it."""
    for _ in range(2):
        for client in clients:
            client.ping()
