"""A client of the server, independent of the server's code: a process that takes commands.

Started by :mod:`support.clients` as ``python -m support.aiortc_client``. A line of JSON on standard
input is a command ``{"id", "do", ...arguments}``, answered by ``{"id", "result"}`` or
``{"id", "error"}``; unasked come ``{"event": "rtp" | "rtcp" | "message" | "closed", ...}``.
What is said to the server is written from the protocol's description, sections 1 to 5.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import traceback
import urllib.parse
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from support.aiortc_leg import Leg
from support.wire import confconn, message, props

Json: TypeAlias = dict[str, Any]

JOIN_SECONDS = 20


class Client:
    """One participant. Public coroutines are the commands."""

    def __init__(self, tell: Callable[[Json], None]) -> None:
        self._tell = tell
        self._leg: Leg | None = None
        self._url = ""
        self._call = ""
        self._user = ""
        self._options: Json = {}
        self._headers: dict[str, str] = {}
        self._approve: bool | list[str] = True
        self._pinging: asyncio.Task[None] | None = None
        self._pongs: deque[asyncio.Future[None]] = deque()
        """One for each PING sent, in order; done when it was answered."""

    async def join(
        self,
        url: str,
        call: str,
        user: str,
        *,
        approve: bool | list[str] = True,
        toolver: str = "9.0.0",
        video_slots: int = 9,
        ping_seconds: float = 5.0,
        update: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Json:
        """CONFCONN, SETUP, answer; done when the data channel is open. ``approve``: whom to approve
        in answer to CONFPART: everybody, nobody, or these user ids. ``update``: as if we had been in.
        ``headers``: of our HTTP requests."""
        self._headers = headers or {}
        self._url, self._call, self._user, self._approve = url, call, user, approve
        self._options = {"toolver": toolver, "vstreams": video_slots}
        result = await self._connect(update=update)
        if "slots" in result:
            self._pinging = asyncio.ensure_future(self._keep_pinging(ping_seconds))
        return result

    async def update(self) -> Json:
        """An UPDATE round: a new connection in place of the old one (protocol section 8.5)."""
        return await self._connect(update=True)

    async def send_rtp(self, packets: list[str], rate: float) -> int:
        """Send plain RTP or RTCP packets, in hex, at ``rate`` a second; returns how many."""
        leg = self._open_leg()
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index, packet in enumerate(packets):
            await asyncio.sleep(start + index / rate - loop.time())
            await leg.send_rtp(bytes.fromhex(packet))
        return len(packets)

    async def lose_rtp(self, every: int) -> None:
        """From now on drop every n-th arriving RTP packet; 0: none."""
        self._open_leg().lose_every = every

    async def say(self, type: str, *, resp: bool = False, **fields: Any) -> None:
        """Send a message on the data channel."""
        self._open_leg().send_text(json.dumps(self._message(type, resp=resp, **fields)))

    async def say_text(self, text: str) -> None:
        """Send anything on the data channel."""
        self._open_leg().send_text(text)

    async def ping(self) -> None:
        """PING and wait for the answer: the server has worked through everything sent before, and
        everything it sent before has come."""
        await asyncio.wait_for(self._send_ping(), 10)

    async def stop_pinging(self) -> None:
        """No more PINGs of our own accord."""
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None

    async def hangup(self) -> None:
        """Say HANGUP and close; the server's answer is an event."""
        await self.say("HANGUP")
        await self.close()

    async def close(self) -> None:
        """Close the connection without a word on the data channel."""
        await self.stop_pinging()
        leg, self._leg = self._leg, None
        if leg is not None:
            await leg.close()

    async def _connect(self, *, update: bool) -> Json:
        reply = await self._post(self._url, confconn(self._call, self._user, update=update, **self._options))
        if "sdp" not in (reply["body"] or {}):
            return reply
        offer = reply["body"]
        leg = Leg()
        answer = await leg.answer(offer["sdp"])
        leg.on_rtp = lambda data: self._tell({"event": "rtp", "data": data.hex()})
        leg.on_rtcp = lambda data: self._tell({"event": "rtcp", "data": data.hex()})
        leg.on_message = partial(self._take_message, leg)
        leg.on_closed = lambda: self._tell({"event": "closed", "state": leg.state})
        self._url = offer.get("url", self._url)
        kind = "UPDATE" if update else "SETUP"
        ack = await self._post(self._url, self._message(kind, resp=True, sdp=answer, props=props()))
        if ack["status"] != 200:
            await leg.close()
            return ack
        try:
            await asyncio.wait_for(leg.opened.wait(), JOIN_SECONDS)
        except TimeoutError:
            await leg.close()
            raise
        old, self._leg = self._leg, leg
        self._pongs.clear()
        if old is not None:
            await old.close()
        return {
            "status": 200,
            "body": offer,
            "answer": answer,
            "ssrcs": leg.ssrcs,
            "slots": _slots(offer["sdp"]),
        }

    async def _post(self, url: str, body: Json) -> Json:
        return await asyncio.to_thread(post, url, self._call, body, self._headers)

    def _message(self, type: str, **fields: Any) -> Json:
        return message(type, self._call, self._user, **fields)

    def _open_leg(self) -> Leg:
        if self._leg is None:
            raise RuntimeError("not joined")
        return self._leg

    def _take_message(self, leg: Leg, text: str) -> None:
        received = json.loads(text)
        self._tell({"event": "message", "message": received})
        if received["type"] == "PING" and self._pongs:
            self._pongs.popleft().set_result(None)
        elif received["type"] == "CONFPART":
            self._answer_roster(leg, received["participants"])

    def _answer_roster(self, leg: Leg, participants: list[Json]) -> None:
        """Tell the server whom of the roster we trust (protocol section 5.4)."""
        trusted = [
            {**entry, "authorized": True}
            for entry in participants
            if entry["userid"] != self._user
            and (entry["userid"] in self._approve if isinstance(self._approve, list) else self._approve)
        ]
        fields = {"should_start": False, "timestamp": "0", "seqno": "0", "participants": trusted}
        leg.send_text(json.dumps(self._message("CONFPART", resp=True, **fields)))
        self._tell({"event": "approved", "users": [entry["userid"] for entry in trusted]})

    def _send_ping(self) -> asyncio.Future[None]:
        pong = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._open_leg().send_text(json.dumps(self._message("PING")))
        return pong

    async def _keep_pinging(self, seconds: float) -> None:
        while True:
            self._send_ping()
            await asyncio.sleep(seconds)


def post(url: str, call: str, body: Json, headers: Mapping[str, str]) -> Json:
    """``POST <url>/sft/<call>``; gives status and, if it is JSON, the body."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/sft/{call}", json.dumps(body), dict(headers))
        response = connection.getresponse()
        data = response.read()
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return {"status": response.status, "body": json.loads(data) if is_json else None}


def _slots(sdp: str) -> list[Json]:
    """The streams the server offers to send: mid, kind and SSRC of each."""
    slots = []
    for section in sdp.split("\r\nm=")[1:]:
        lines = section.split("\r\n")
        if "a=sendonly" in lines:
            mid = next(line[6:] for line in lines if line.startswith("a=mid:"))
            ssrc = next(int(line[7:].split()[0]) for line in lines if line.startswith("a=ssrc:"))
            slots.append({"mid": mid, "kind": section.split()[0], "ssrc": ssrc})
    return slots


async def main() -> None:
    """Serve commands until standard input ends."""

    def tell(value: Json) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    client = Client(tell)

    async def carry_out(id: int, do: str, **arguments: Any) -> None:
        try:
            tell({"id": id, "result": await getattr(client, do)(**arguments)})
        except Exception:
            tell({"id": id, "error": traceback.format_exc()})

    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()
    while line := await reader.readline():
        task = asyncio.ensure_future(carry_out(**json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
