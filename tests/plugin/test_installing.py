"""Core and plugins as wheels in an environment of their own, found by their entry points."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {
    ".": ["pyproject.toml", "README.md", "LICENSE", "sft"],
    "plugins/transport_udp": ["pyproject.toml", "README.md", "sft_transport_udp"],
    "plugins/transport_tcp": ["pyproject.toml", "README.md", "sft_transport_tcp"],
    "plugins/metrics": ["pyproject.toml", "README.md", "sft_metrics"],
    "plugins/tracing": ["pyproject.toml", "README.md", "sft_tracing"],
    "load": ["pyproject.toml", "README.md", "sft_load"],
    "examples/hold_envelopes": ["pyproject.toml", "hold_envelopes.py"],
    "examples/simple_placement": ["pyproject.toml", "simple_placement.py"],
    "examples/unix_transport": ["pyproject.toml", "unix_transport.py"],
}


def pip(*arguments: object) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, built from copies: a build leaves files next to the sources."""
    sources, wheels = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheels")
    copies = []
    for number, (folder, parts) in enumerate(DISTRIBUTIONS.items()):
        copy = sources / str(number)
        copy.mkdir()
        for part in parts:
            source = ROOT / folder / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        copies.append(copy)
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, *copies)
    return wheels


class Environment:
    """A virtual environment and its ``sft-serve``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)

    @property
    def site_packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def pip(self, *arguments: object) -> str:
        return pip("--python", self.folder / "bin" / "python", *arguments)

    def serve(self, *arguments: object, program: str = "sft-serve") -> str:
        """Run where the sources are out of sight."""
        command = [self.folder / "bin" / program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """With the third-party packages this test runs with, and nothing of ours."""
    environment = Environment(tmp_path / "environment")
    for package in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "sft" not in package.name and package.suffix != ".pth":
            (environment.site_packages / package.name).symlink_to(package)
    return environment


def test_a_plugin_installed_next_to_the_core_is_found(environment: Environment, wheels: Path) -> None:
    environment.pip("install", "--quiet", "--no-index", "--no-deps", *wheels.glob("sft_server-*.whl"))
    assert "transport_udp" not in environment.serve("plugins")
    environment.pip("install", "--quiet", "--no-index", "--no-deps", *wheels.glob("sft_transport_udp-*.whl"))
    assert environment.serve("--version") == "sft-serve, version 0.1.0\n"
    listed = environment.serve("plugins")
    assert "transport_udp 0.1.0 (sft-transport-udp)\n    sft_config_table\n    sft_transports\n" in listed
    environment.pip("check")


def test_plugins_of_third_parties_are_found_and_configured(environment: Environment, wheels: Path) -> None:
    environment.pip("install", "--quiet", "--no-index", "--no-deps", *wheels.glob("*.whl"))
    listed = environment.serve("plugins")
    assert (
        "hold_envelopes 0.1.0 (sft-hold-envelopes)\n"
        "    sft_config_table\n    sft_configure\n    sft_key_envelope\n    sft_run\n"
    ) in listed
    assert "simple_placement 0.1.0 (sft-simple-placement)\n    sft_place_call\n" in listed
    hooks = "    sft_config_table\n    sft_transports\n"
    assert f"transport_tcp 0.1.0 (sft-transport-tcp)\n{hooks}" in listed
    assert "metrics 0.1.0 (sft-metrics)\n    sft_config_table\n    sft_http_routes\n" in listed
    hooks_of_tracing = ["config_table", "configure", "http_routes", "join_ended", "run"]
    lines = "".join(f"    sft_{hook}\n" for hook in hooks_of_tracing)
    assert f"tracing 0.1.0 (sft-tracing)\n{lines}" in listed
    assert f"unix_transport 0.1.0 (sft-unix-transport)\n{hooks}" in listed
    config = environment.folder / "sft.toml"
    config.write_text(
        '[plugins]\nblock = ["simple_placement", "unix_transport"]\n[plugins.hold_envelopes]\nblocked = "no"'
    )
    assert "simple_placement" not in environment.serve("plugins", "--config", config)
    assert "ok    udp address" in environment.serve("check", config)


def test_the_load_tester_is_a_distribution_of_its_own(environment: Environment, wheels: Path) -> None:
    environment.pip("install", "--quiet", "--no-index", "--no-deps", *wheels.glob("sft_server-*.whl"))
    environment.pip("install", "--quiet", "--no-index", "--no-deps", *wheels.glob("sft_load-*.whl"))
    assert environment.serve("--version", program="sft-load") == "sft-load, version 0.1.0\n"
    assert "--preset [c4|c50]" in environment.serve("run", "--help", program="sft-load")
    environment.pip("check")


def test_the_wheel_of_the_core_has_all_it_needs(wheels: Path) -> None:
    (core,) = wheels.glob("sft_server-*.whl")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", core], capture_output=True, text=True, check=True
    ).stdout
    for path in [*(ROOT / "sft").rglob("*.py"), *(ROOT / "sft" / "webclient").rglob("static/**/*.*")]:
        assert str(path.relative_to(ROOT)) in listed
    assert "sft/py.typed" in listed


@pytest.mark.nightly
def test_pip_brings_all_that_is_needed(wheels: Path, tmp_path: Path) -> None:
    """From the package index into an empty environment: what a user does."""
    environment = Environment(tmp_path / "bare")
    ours = [*wheels.glob("sft_server-*.whl"), *wheels.glob("sft_transport_udp-*.whl")]
    environment.pip("install", "--quiet", *ours)
    assert "transport_udp 0.1.0 (sft-transport-udp)" in environment.serve("plugins")
    environment.pip("check")
