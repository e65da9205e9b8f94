"""A whole server with the native engine, loaded and looked at by ``sft-load``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")
pytest.importorskip("sft_load")

from support.server import running_server

LOAD = (
    "--participants 8 --per-call 4 --speakers 2 --audio-rate 25 --layer l:30:300 --layer h:60:900 --tiles 2 "
    "--large 1 --page-seconds 1 --checked-every 1 --settle-seconds 1 --joins-per-second 20 --seconds 4 "
    "--max-latency 5 --max-lateness 5 --max-others-cpu 1000 --json"
)


@pytest.mark.parametrize("shared", [False, True], ids=["ports", "one port"])
def test_everybody_gets_what_was_sent_to_them(tmp_path: Path, shared: bool) -> None:
    plugins = {"modules": ["sft_engine_native"], "transport_udp": {"shared": shared}}
    with running_server(tmp_path, plugins=plugins) as server:
        command = [str(Path(sys.executable).with_name("sft-load")), "run", server.url, *LOAD.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done
        row = json.loads(done.stdout)["steps"][-1]
        assert (row["verdict"], row["failures"]) == ("passed", {})
        assert row["checked_packets"] > row["out_per_second"]
        assert (row["wrong"], row["reordered"]) == (0, 0)
        server.wait(lambda server: not server.participants(), 8)  # goodbyes: silence takes 15
