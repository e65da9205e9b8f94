"""Mutants of packets to the way in in C and to the one in Python, on real sockets: both must do the same.

    python plugins/engine_native/tests/fuzz_way_in.py --count 20000

Each is sent as it is, as anyone can; in half of the calls protected, as a client can that has keys; and
protected as the next packet of a source, because only that is not left to Python. test_sanitized.py runs this
with an extension that finds accesses outside of what it has. If that ends the process, the call printed last
repeats it.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import random
import struct
from collections.abc import Iterator
from pathlib import Path

from both_ways import AUDIO, HIGH, LOW, Worlds

from sft.webrtc.rtp import read_extensions_untrusted

PLAIN = 1350
"""Bytes that pylibsrtp protects."""
CALL = 500
"""Mutants that one call sees: they must not meet the leftovers of thousands of others."""

RUNNER = Path(__file__).parents[3] / "tests/fuzz/runner.py"
spec = importlib.util.spec_from_file_location("fuzz_runner", RUNNER)
assert spec is not None
assert spec.loader is not None
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)
packets = runner.load("rtp").seeds()
seeds = packets + [one[: read_extensions_untrusted(one, one[0])[0]] for one in packets]
"""Also without payloads, so that whoever reads on behind the extensions reads what is not the datagram's."""


def fuzz(both: Worlds, mutants: Iterator[bytes], chance: random.Random) -> None:
    """Raises only if the two differ, or C code misbehaves."""
    any_number = chance.random() < 0.5  # after one that is far ahead libsrtp takes hardly any other
    while some := list(itertools.islice(mutants, chance.choice((1, 1, 2, 5, 16)))):
        for mutant in some:
            both.send(mutant[:2000])
            if any_number and len(mutant) >= 12:
                both.send(both.protect(mutant[:PLAIN]))
        step(both, chance)
        for mutant in some:
            ssrc = chance.choice((AUDIO, HIGH, LOW))
            both.numbers[ssrc] += 1
            both.send(both.protect(renumbered(mutant[:PLAIN], ssrc, both.numbers[ssrc])))
        step(both, chance)
        both.compare()
        both.forget()


def step(both: Worlds, chance: random.Random) -> None:
    both.read()
    both.tick(chance.choice((0.001, 0.003, 0.02)))


def renumbered(mutant: bytes, ssrc: int, number: int) -> bytes:
    """Version 2, a known source and its next number; the rest as it is."""
    first, kind = mutant[:2].ljust(2, b"\0")
    numbers = number & 0xFFFF, number * 960 & 0xFFFFFFFF
    return struct.pack("!BBHII", 0x80 | first & 0x3F, kind, *numbers, ssrc) + mutant[12:]


def run(count: int, seed: int) -> int:
    """Returns how many packets were taken of the mutants; what is raised names the call."""
    taken = 0
    for begun in range(0, count, CALL):
        now, of_call = seed + begun // CALL, min(CALL, count - begun)
        print(f"--seed {now} --count {of_call}", flush=True)
        with Worlds() as both:
            both.join()
            both.introduce()
            try:
                fuzz(both, runner.mutations(seeds, of_call, now), random.Random(now))
            except BaseException as error:
                error.add_note(f"--seed {now} --count {of_call}")
                raise
            taken += both.worlds[1].sender.packets
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.count} mutants, {run(options.count, options.seed)} packets taken")


if __name__ == "__main__":
    main()
