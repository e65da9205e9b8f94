"""Real Wire clients (the unmodified @wireapp/avs in Chromium), driven through tests/wire_client/harness."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import attrs
import pytest

from support.wire_transcript import transcript

HARNESS = Path(__file__).resolve().parents[1] / "wire_client/harness"
PATIENCE = 25.0
"""Seconds anything may take that a person would wait for."""


def require_harness() -> None:
    """Install the npm packages if they are missing. Without browser or npm: a failure in CI, else a skip."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if not any(map(shutil.which, ("chromium", "google-chrome"))):
        missing.append("chromium")
    if missing:
        text = f"the Wire client tests need {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    installed, wanted = HARNESS / "node_modules/.package-lock.json", HARNESS / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=HARNESS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        installed.touch()


@attrs.frozen
class Wire:
    """One client in a call: what it is called, and how the others know it by ear and eye."""

    index: int
    label: str
    userid: str
    clientid: str
    hz: int
    hue: int
    screenHue: int  # as the harness spells it

    @property
    def key(self) -> str:
        return f"{self.userid}.{self.clientid}"


class Harness:
    """The node process that holds the browser. Commands are answered in any order. ``within``: a lab's
    ``host.command``, to run on that host."""

    def __init__(self, within: Sequence[str] = ()) -> None:
        require_harness()
        self._process = subprocess.Popen(
            [*within, "node", "serve.js"],
            cwd=HARNESS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answers: dict[int, Queue[dict[str, Any]]] = {0: Queue()}
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.browser_version: str = self._wait(0, 60)

    def ask(self, call: str, action: str, client: int | None = None, **options: Any) -> Any:
        self._number += 1
        number = self._number
        self._answers[number] = Queue()
        command = {"id": number, "call": call, "do": action, "client": client, "with": options}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._wait(number, 60)

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _wait(self, number: int, seconds: float) -> Any:
        try:
            answer = self._answers[number].get(timeout=seconds)
        except Empty:
            raise AssertionError("the Wire client harness does not answer") from None
        finally:
            del self._answers[number]
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._answers[answer["id"]].put(answer)


class WireCall:
    """One conversation. Judged by what the clients decrypt: tones heard, colours seen."""

    def __init__(self, harness: Harness, name: str, sft: str, **options: Any) -> None:
        self._harness = harness
        self._name = name
        opened = harness.ask(name, "open", sft=sft, **options)
        self.conversation: str = opened["conversation"]
        self.clients: Sequence[Wire] = [Wire(**client) for client in opened["clients"]]
        self.strangers: Sequence[Wire] = [Wire(**one) for one in opened["strangers"]]
        """Members of the conversation whom the test itself brings into the call (``strangers=7``)."""
        self.joined: list[Wire] = []

    def do(self, client: Wire, action: str, **options: Any) -> Any:
        return self._harness.ask(self._name, action, client.index, **options)

    def join(self, *clients: Wire, video: bool = False) -> None:
        """Start the call with the first who ever joins, answer it with the others; wait until each is in."""
        for client in clients:
            self.do(client, "answer" if self.joined else "start", video=video)
            self.joined.append(client)
            self.wait(
                lambda client=client: self.state(client) == "MEDIA_ESTAB",
                f"{client.label} gets into the call",
            )

    def leave(self, client: Wire) -> None:
        self.do(client, "leave")
        self.joined.remove(client)

    def kill(self, client: Wire) -> None:
        self.do(client, "kill")
        self.joined.remove(client)

    def look(self, client: Wire) -> dict[str, Any]:
        seen: dict[str, Any] = self.do(client, "look")
        return seen

    def state(self, client: Wire) -> str:
        conversation = self.look(client)["summary"]["convs"].get(self.conversation, {})
        return str(conversation.get("state", "NONE"))

    def members(self, client: Wire) -> dict[str, dict[str, Any]]:
        """Whom the client lists, by key."""
        conversation = self.look(client)["summary"]["convs"][self.conversation]
        return {f"{one['userid']}.{one['clientid']}": one for one in conversation["members"]}

    def connection(self, client: Wire) -> dict[str, Any]:
        """getStats of the client's live connection."""
        live = [one for one in self.look(client)["stats"] if one["connectionState"] != "closed"]
        newest: dict[str, Any] = live[-1]
        return newest

    def inbound(self, client: Wire, kind: str, field: str) -> float:
        """Sum of a getStats field over the client's inbound streams."""
        return sum(s.get(field, 0) for s in self.connection(client)["inbound"] if s["kind"] == kind)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds:.0f} s: {what}\n{self.report()}")
            time.sleep(0.25)

    def tone_seconds(self, hearer: Wire, speaker: Wire) -> int:
        """In how many seconds so far the speaker's tone was heard."""
        heard = self.look(hearer)["summary"]["heard"].get(str(speaker.hz))
        return heard["n"] if heard else 0

    def expect_heard(self, *clients: Wire, seconds: float = PATIENCE) -> None:
        """Everybody hears everybody else from now on: two more seconds of each tone."""
        pairs = [(x, y) for x in clients for y in clients if x is not y]
        before = {pair: self.tone_seconds(*pair) for pair in pairs}
        for pair in pairs:
            hearer, speaker = pair
            self.wait(
                lambda pair=pair: self.tone_seconds(*pair) >= before[pair] + 2,
                f"{hearer.label} hears {speaker.label}",
                seconds,
            )

    def expect_silent(self, hearer: Wire, speaker: Wire, seconds: int = 4) -> None:
        """The tone is not heard for some seconds (the clients' analysers look once a second)."""
        before = self.tone_seconds(hearer, speaker)
        time.sleep(seconds)
        assert self.tone_seconds(hearer, speaker) <= before + 1, f"{hearer.label} still hears {speaker.label}"

    def hue(self, viewer: Wire, sender: Wire) -> int | None:
        """The colour of the sender's picture at the viewer, if it moves."""
        seen = self.look(viewer)["summary"]["seen"].get(sender.key)
        return seen["hue"] if seen else None

    def sees(self, viewer: Wire, sender: Wire, hue: int) -> bool:
        """Frames were decoded on the very track the library gave the sender, and they have the colour."""
        look = self.look(viewer)
        seen = look["summary"]["seen"].get(sender.key)
        if seen is None or not self._decoded(look, sender):
            return False
        return bool(abs((seen["hue"] - hue + 540) % 360 - 180) < 25)

    def frames(self, viewer: Wire, sender: Wire) -> int:
        """How many frames were decoded so far on the track the library gave the sender."""
        return self._decoded(self.look(viewer), sender)

    @staticmethod
    def _decoded(look: dict[str, Any], sender: Wire) -> int:
        element = look["summary"]["videoElements"].get(sender.key)
        return sum(
            stream.get("framesDecoded", 0)
            for connection in look["stats"]
            for stream in connection["inbound"]
            if element is not None and stream.get("trackIdentifier") == element["track"]
        )

    def expect_seen(self, *clients: Wire, seconds: float = PATIENCE) -> None:
        """Everybody sees everybody else in their colour."""
        for viewer in clients:
            for sender in clients:
                if viewer is not sender:
                    self.expect_colour(viewer, sender, sender.hue, seconds)

    def expect_colour(self, viewer: Wire, sender: Wire, hue: int, seconds: float = PATIENCE) -> None:
        self.wait(
            lambda: self.sees(viewer, sender, hue), f"{viewer.label} sees {sender.label} in {hue}", seconds
        )

    def expect_listed(self, viewer: Wire, *others: Wire, seconds: float = PATIENCE) -> None:
        """The viewer lists itself and exactly these."""
        wanted = {viewer.key, *(other.key for other in others)}
        names = " ".join(other.label for other in others)
        self.wait(
            lambda: set(self.members(viewer)) == wanted,
            f"{viewer.label} lists {names or 'nobody else'}",
            seconds,
        )

    def record(self) -> dict[str, Any]:
        """Everything that happened: events per client, end-to-end messages."""
        record: dict[str, Any] = self._harness.ask(self._name, "record")
        return record

    def secret(self) -> bytes:
        """What the starter told the others end to end (CONFSTART): hidden names come from it."""
        messages = [json.loads(sent["data"]) for sent in self.record()["e2e"]]
        return base64.b64decode(next(m["secret"] for m in messages if m["type"] == "CONFSTART"))

    def epoch(self) -> tuple[int, str]:
        """Number and key (base64) of the newest MLS epoch."""
        epoch = self.record()["epoch"]
        return epoch["number"], epoch["key"]

    def requests(self, client: Wire) -> int:
        """How many HTTP requests the client has made."""
        events = self.record()["events"]
        return sum(
            1 for event in events if event["client"] == client.label and event["kind"] == "sft-request"
        )

    def first_sound(self, joiner: Wire) -> float | None:
        """Seconds from the joiner's first POST to its first audio frame decrypted at another client."""
        events = self.record()["events"]
        posts = [e["t"] for e in events if e["client"] == joiner.label and e["kind"] == "sft-request"]
        decrypted = [
            e["t"]
            for e in events
            if e["client"] != joiner.label
            and e["kind"] == "log"
            and "first frame decrypted type: audio" in e["msg"]
            and joiner.userid[:8] in e["msg"]
        ]
        return (min(decrypted) - posts[0]) / 1000 if posts and decrypted else None

    def report(self) -> str:
        """Errors of the library and the state of each client, for a failure's text."""
        events = self.record()["events"]
        lines = [
            f"{e['client']} {e['kind']} {e.get('msg') or e.get('message')}"
            for e in events
            if "error" in e["kind"]
            or e["kind"] == "page-crash"
            or (e["kind"] == "log" and e["level"] == "ERROR")
        ]
        return "\n".join(lines[-20:])

    def close(self) -> None:
        self._harness.ask(self._name, "close")


@contextmanager
def wire_call(harness: Harness, name: str, sft: str, **options: Any) -> Iterator[WireCall]:
    call = WireCall(harness, name, sft, **options)
    try:
        yield call
    except BaseException:
        folder = HARNESS.parents[2] / "artifacts"
        folder.mkdir(exist_ok=True)
        record = call.record()
        (folder / f"wire-{name}.json").write_text(json.dumps(record, indent=1))
        (folder / f"wire-{name}.txt").write_text("\n".join(transcript(record)))
        raise
    finally:
        for joiner in call.clients:
            seconds = call.first_sound(joiner)
            if seconds is not None:
                print(f"{name}: {joiner.label} from first POST to decrypted audio elsewhere {seconds:.2f} s")
        call.close()
