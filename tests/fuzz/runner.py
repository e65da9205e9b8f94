"""Mutates the seeds of the fuzz targets beside this file. No coverage guidance; every run repeats.

    python tests/fuzz/runner.py --count 20000 --coverage

A target is a module ``fuzz_NAME.py`` with ``seeds() -> list[bytes]`` and ``fuzz(data: bytes) -> None``,
which raises only if the code under test misbehaves.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # support.*
TARGETS = tuple(sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")))

PARSERS = {
    "framing": ["plugins/transport_tcp/sft_transport_tcp/framing.py"],
    "stun": ["sft/webrtc/stun.py", "sft/webrtc/ice/lite.py", "sft/webrtc/ice/agent.py"],
    "ice": ["sft/webrtc/ice/full.py", "sft/webrtc/ice/checklist.py", "sft/webrtc/ice/states.py"],
    "turn": ["sft/webrtc/turn.py", "sft/webrtc/turn_messages.py", "sft/webrtc/turn_stream.py"],
    "rtp": ["sft/webrtc/rtp.py"],
    "rtcp": ["sft/webrtc/rtcp.py", "sft/webrtc/twcc.py"],
    "sdp": ["sft/signalling/answer.py", "sft/signalling/sdp.py"],
    "sctp": ["sft/webrtc/sctp.py", "sft/webrtc/sctp_packet.py", "sft/webrtc/sctp_transport.py"],
    "messages": ["sft/signalling/messages.py", "sft/signalling/entries.py", "sft/signalling/fields.py"],
}
"""What each target is there to reach, for the coverage report."""

INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x00\x00",
    b"\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
)


def load(target: str) -> Any:
    """The module of a target."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{target}", HERE / f"fuzz_{target}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mutations(seeds: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """``count`` mutants: the seeds themselves first, then one to four random changes of one of them."""
    rng = random.Random(seed)
    yield from seeds[:count]
    for _ in range(count - len(seeds)):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            _change(data, rng, seeds)
        yield bytes(data[:4096])


def _change(data: bytearray, rng: random.Random, seeds: list[bytes]) -> None:
    position = rng.randint(0, len(data))
    match rng.randrange(7):
        case 0 if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1 if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
        case 2:
            del data[position:]
        case 3:
            del data[position : position + rng.randint(1, 8)]
        case 4:
            data[position:position] = rng.randbytes(rng.randint(1, 8))
        case 5:
            value = rng.choice(INTERESTING)
            data[position : position + len(value)] = value
        case 6:
            other = rng.choice(seeds)
            start = rng.randint(0, len(other))
            data[position:] = other[start:]


def run(target: str, count: int, seed: int) -> int:
    """Returns how many inputs were tried; an exception names the input that caused it."""
    module = load(target)
    tried = 0
    for data in mutations(module.seeds(), count, seed):
        try:
            module.fuzz(data)
        except BaseException as error:
            error.add_note(f"input: {data.hex()}")
            raise
        tried += 1
    return tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--coverage", action="store_true", help="report the lines of the parsers that were reached"
    )
    options = parser.parse_args()
    for target in options.targets:
        if options.coverage:
            _run_with_coverage(target, options.count, options.seed)
        else:
            print(f"{target}: {run(target, options.count, options.seed)} inputs")


def _run_with_coverage(target: str, count: int, seed: int) -> None:
    import coverage

    measured = coverage.Coverage(data_file=None, config_file=False, include=PARSERS[target], branch=True)
    measured.start()
    try:
        tried = run(target, count, seed)
    finally:
        measured.stop()
    print(f"{target}: {tried} inputs")
    measured.report(show_missing=True)


if __name__ == "__main__":
    main()
