"""The web client's SFrame codec and keys, run in Chromium, against the RFC and against Python."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from support import sframe
from support.chromium import Chromium, Page

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "data/sframe-vectors.json").read_text())
SECRET = bytes(range(16))
CALL = hashlib.sha256(b"sft call tea").digest()[:16].hex()

pytestmark = pytest.mark.browser

PRELUDE = """
const sframe = await import('/static/sframe.js');
const secrets = await import('/static/secrets.js');
const { WINDOW } = sframe;
const hex = secrets.toHex;
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const outcome = (promise) => promise.then(() => 'fine', (error) => error.code ?? String(error));
"""


@pytest.fixture
async def page(browser: Chromium, site: str) -> Page:
    return await browser.open_page(f"{site}/")


async def run(page: Page, body: str, *arguments: Any) -> Any:
    """Run the body of an async function that has the modules at hand; its argument is ``given``."""
    return await page.call(f"async (given) => {{ {PRELUDE} {body} }}", list(arguments))


async def test_headers_are_those_of_the_rfc(page: Page) -> None:
    wrong = await run(
        page,
        """return given.filter(([kid, counter, encoded]) => {
            const back = sframe.decodeHeader(unhex(encoded));
            return hex(sframe.encodeHeader(BigInt(kid), BigInt(counter))) !== encoded
              || back.kid !== BigInt(kid)
              || back.counter !== BigInt(counter)
              || back.length !== encoded.length / 2;
        });""",
        *VECTORS["header"],
    )
    assert wrong == []


@pytest.mark.parametrize("number", [4, 5])
async def test_frames_are_those_of_the_rfc(page: Page, number: int) -> None:
    [vector] = [suite for suite in VECTORS["sframe"]["suites"] if suite["number"] == number]
    result = await run(
        page,
        """const [v, number] = given;
        const suite = { 4: sframe.AES_128_GCM_SHA256_128, 5: sframe.AES_256_GCM_SHA512_128 }[number];
        const [base, kid] = [unhex(v.base_key), BigInt(v.kid)];
        const { key, salt } = await sframe.deriveKeyAndSalt(base, kid, suite);
        const sender = await sframe.SFrameSender.create(base, kid, suite);
        const frame = await sender.encryptAt(BigInt(v.counter), unhex(v.plaintext), unhex(v.metadata));
        const receiver = await sframe.SFrameReceiver.create(base, kid, suite);
        const text = await receiver.decrypt(frame, unhex(v.metadata));
        return [hex(key), hex(salt), hex(frame), hex(text)];""",
        VECTORS["sframe"],
        number,
    )
    assert result == [vector["key"], vector["salt"], vector["frame"], VECTORS["sframe"]["plaintext"]]


async def test_python_opens_what_the_browser_seals_and_the_other_way_round(page: Page) -> None:
    base_key, kid = os.urandom(32), int.from_bytes(os.urandom(8), "big")
    texts = [b"", b"x", os.urandom(1200)]
    frames = await run(
        page,
        """const [base, kid, texts] = given;
        const sender = await sframe.SFrameSender.create(unhex(base), BigInt(kid));
        const frames = [];
        for (const text of texts) frames.push(hex(await sender.encrypt(unhex(text))));
        return frames;""",
        base_key.hex(),
        str(kid),
        [text.hex() for text in texts],
    )
    assert [sframe.decrypt(base_key, bytes.fromhex(frame)) for frame in frames] == texts
    headers = [sframe.decode_header(bytes.fromhex(frame)) for frame in frames]
    assert [(header.kid, header.counter) for header in headers] == [(kid, 0), (kid, 1), (kid, 2)]

    sealed = [sframe.encrypt(base_key, kid, 70_000 + n, text).hex() for n, text in enumerate(texts)]
    opened = await run(
        page,
        """const [base, kid, frames] = given;
        const receiver = await sframe.SFrameReceiver.create(unhex(base), BigInt(kid));
        const texts = [];
        for (const frame of frames) texts.push(hex(await receiver.decrypt(unhex(frame))));
        return texts;""",
        base_key.hex(),
        str(kid),
        sealed,
    )
    assert [bytes.fromhex(text) for text in opened] == texts


async def test_a_frame_that_comes_twice_or_too_late_or_altered_is_refused(page: Page) -> None:
    outcomes = await run(
        page,
        """const base = new Uint8Array(32).fill(7);
        const sender = await sframe.SFrameSender.create(base, 9n);
        const receiver = await sframe.SFrameReceiver.create(base, 9n);
        const frames = [];
        for (let n = 0; n <= WINDOW + 2; n++) frames.push(await sender.encrypt(Uint8Array.of(n)));
        const altered = frames[3].slice();
        altered[altered.length - 1] ^= 1;
        const last = frames.at(-1);
        return {
          reordered: [await outcome(receiver.decrypt(frames[5])), await outcome(receiver.decrypt(frames[4]))],
          replayed: await outcome(receiver.decrypt(frames[5])),
          altered: await outcome(receiver.decrypt(altered)),
          thenTheTrueOne: await outcome(receiver.decrypt(frames[3])),
          twins: (await Promise.all([last, last].map((one) => outcome(receiver.decrypt(one))))).sort(),
          justInTime: await outcome(receiver.decrypt(frames[6])),
          tooLate: await outcome(receiver.decrypt(frames[2])),
          cut: await outcome(receiver.decrypt(last.slice(0, 1))),
        };""",
    )
    assert outcomes == {
        "reordered": ["fine", "fine"],
        "replayed": "replay",
        "altered": "authentication",
        "thenTheTrueOne": "fine",
        "twins": ["fine", "replay"],
        "justInTime": "fine",
        "tooLate": "replay",
        "cut": "malformed",
    }


async def test_frames_encrypted_at_the_same_time_never_share_a_counter(page: Page) -> None:
    counters = await run(
        page,
        """const sender = await sframe.SFrameSender.create(new Uint8Array(32), 1n);
        const text = new Uint8Array(10);
        const frames = await Promise.all(Array.from({ length: 300 }, () => sender.encrypt(text)));
        return frames.map((frame) => Number(sframe.decodeHeader(frame).counter));""",
    )
    assert sorted(counters) == list(range(300))


async def test_the_replay_memory_stays_bounded(page: Page) -> None:
    results = await run(
        page,
        """const window = new sframe.ReplayWindow();
        let accepted = 0;
        for (let n = 0n; n < 10000n; n++) accepted += window.accept(n);
        const old = 10000n - BigInt(WINDOW);
        return [accepted, window.accept(9999n), window.accept(old), window.accept(20000n)];""",
    )
    assert results == [10000, False, False, True]


async def test_every_kid_is_new(page: Page) -> None:
    kids = await run(page, "return Array.from({ length: 500 }, () => String(secrets.newKid()));")
    assert len(set(kids)) == 500
    assert max(map(int, kids)) > 2**60


async def test_call_id_base_key_and_code_follow_from_name_and_secret(page: Page) -> None:
    found = await run(
        page,
        """const call = await secrets.callIdOf('tea');
        const keys = await secrets.CallKeys.create(unhex(given[0]), call);
        return [call, hex(keys.baseKey), keys.code, secrets.formatSecret(unhex(given[0]))];""",
        SECRET.hex(),
    )
    base_key = sframe.hkdf(hashlib.sha256, SECRET, f"sft call {CALL}".encode(), 32)
    digits = sframe.hkdf(hashlib.sha256, SECRET, f"sft verify {CALL}".encode(), 16)
    groups = [int.from_bytes(digits[at : at + 4], "big") % 10000 for at in range(0, 16, 4)]
    code = " ".join(f"{group:04}" for group in groups)
    assert found == [CALL, base_key.hex(), code, "AAECAwQFBgcICQoLDA0ODw"]


@pytest.mark.parametrize("text", ["", "short", "A" * 23, "AAECAwQFBgcICQoLDA0OD*", "AAECAwQFBgcICQoLDA0O w"])
async def test_a_mutilated_secret_is_not_taken(page: Page, text: str) -> None:
    assert await run(page, "return secrets.parseSecret(given[0]) === null;", text)


async def test_an_envelope_opens_only_with_its_secret_for_its_sender_and_unaltered(page: Page) -> None:
    found = await run(
        page,
        """const call = await secrets.callIdOf('tea');
        const ours = await secrets.CallKeys.create(unhex(given[0]), call);
        const theirs = await secrets.CallKeys.create(new Uint8Array(16), call);
        const elsewhere = await secrets.CallKeys.create(unhex(given[0]), await secrets.callIdOf('coffee'));
        const kid = 0xfedcba9876543210n;
        const content = { name: 'Ann\\u202e \\n Meier', kid, userid: 'a1', connection: 3 };
        const envelope = await ours.sealEnvelope(content);
        const opened = await ours.openEnvelope(envelope, 'a1');
        const bytes = atob(envelope).split('');
        bytes[20] = String.fromCharCode(bytes[20].charCodeAt(0) ^ 1);
        return {
          opened: [opened.name, opened.kid === content.kid, opened.connection],
          otherSender: await ours.openEnvelope(envelope, 'b2'),
          otherSecret: await theirs.openEnvelope(envelope, 'a1'),
          otherCall: await elsewhere.openEnvelope(envelope, 'a1'),
          altered: await ours.openEnvelope(btoa(bytes.join('')), 'a1'),
          rubbish: await ours.openEnvelope('***', 'a1'),
          again: envelope === (await ours.sealEnvelope(content)),
          length: (await ours.sealEnvelope({ ...content, name: '😀'.repeat(500) })).length,
        };""",
        SECRET.hex(),
    )
    length = found.pop("length")
    assert length < 1024
    assert found == {
        "opened": ["Ann Meier", True, 3],
        "otherSender": None,
        "otherSecret": None,
        "otherCall": None,
        "altered": None,
        "rubbish": None,
        "again": False,
    }
