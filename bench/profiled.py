"""``sft-serve`` under cProfile: ``python bench/profiled.py FILE run --config ...``.

SIGUSR1 starts the profile and stops it again, so that it covers what is measured and not the start. It
is written to FILE at the end: ``python -m pstats FILE``.
"""

from __future__ import annotations

import cProfile
import signal
import sys

from sft.cli import main

profile = cProfile.Profile()
running = False


def toggle(*_: object) -> None:
    global running
    running = not running
    if running:
        profile.enable()
    else:
        profile.disable()


if __name__ == "__main__":
    file = sys.argv.pop(1)
    signal.signal(signal.SIGUSR1, toggle)
    try:
        main()
    finally:
        profile.disable()
        profile.dump_stats(file)
