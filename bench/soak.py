"""A server under a third of a core's load for half an hour, with participants coming and going.

    python bench/soak.py [--participants 30] [--minutes 30] [--stay 60] [--json]

``sft-load soak`` against a server of its own: the standard load (C50), each participant stays a minute on
average, one in five vanishes without a word. Fails if packets are lost or late, if anybody cannot join, or if
memory or descriptors of the server grow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from server import Server


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--participants", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--stay", type=float, default=60.0, help="seconds, on average")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with Server(8 * options.participants) as server:
        command = [
            str(Path(sys.executable).with_name("sft-load")),
            "soak",
            f"http://{server.url.authority}/",
            *("--preset", "c50"),
            *("--participants", str(options.participants)),
            *("--minutes", str(options.minutes)),
            *("--stay-seconds", str(options.stay)),
            *("--server-pid", str(server.pid)),
            *(["--json"] if options.json else []),
        ]
        done = subprocess.run(command)
        print("drops:", server.drops() or "none", file=sys.stderr)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
