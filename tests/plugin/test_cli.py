"""The command ``sft-serve``."""

from __future__ import annotations

import errno
import io
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

import pytest
import structlog
from click.testing import CliRunner, Result
from cryptography import x509

from sft import __version__, check, dev_cert
from sft.cli import main
from sft.config import LogConfig
from sft.config.logs import configure_logging
from sft.errors import LocalError

Run = Callable[..., Result]

HEALTHY = """
[server]
listen = "127.0.0.1:0"
operator_listen = "127.0.0.1:0"
[limits]
participants_per_worker = 10
[plugins]
allow = ["transport_udp"]
[plugins.transport_udp]
ports = "{port}"
addresses = [{{bind = "127.0.0.1"}}]
"""


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def config(tmp_path: Path, free_port: int) -> Path:
    file = tmp_path / "sft.toml"
    file.write_text(HEALTHY.format(port=free_port))
    return file


def test_the_command_starts_without_loading_what_it_does_not_need() -> None:
    """Importing any module of aiortc loads PyAV, 60 MB; the command must stay light."""
    code = "import sys, sft.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"aiortc", "av", "aioice", "trio", "hypercorn", "starlette", "OpenSSL", "structlog", "cattrs"}
    assert heavy.isdisjoint(loaded.split())


def test_checking_and_listing_never_load_pyav(config: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from sft.cli import main\n"
        f"for command in (['plugins', '-c', {str(config)!r}], ['check', {str(config)!r}]):\n"
        "    assert CliRunner().invoke(main, command).exit_code == 0\n"
        "assert 'av' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").output == f"sft-serve, version {__version__}\n"


def test_plugins_are_listed_with_version_origin_and_hooks(run: Run, config: Path) -> None:
    output = run("plugins", "--config", config).output
    assert "transport_udp 0.1.0 (sft-transport-udp)\n    sft_config_table\n    sft_transports\n" in output
    assert output.index("transport_udp") < output.index("credentials")


def test_a_healthy_configuration_passes(run: Run, config: Path) -> None:
    result = run("check", config)
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.output
    assert "ok    udp ports: 1, one per participant" in result.output


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[limits]\nbody_bytes = 1", "limits.body_bytes: must be >= 1024"),
        ('[plugins]\nallow = ["tranport_udp"]', "did you mean 'transport_udp'?"),
        ("[plugins.transport_udp]\nport = 1", "plugins.transport_udp.port: unknown key"),
        ('[credentials]\nsecret_file = "nowhere"', "credentials.secret_file"),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["run", "-c"]])
def test_a_wrong_configuration_is_told_without_a_stack_trace(
    command: list[str], toml: str, complaint: str, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "sft.toml"
    file.write_text(toml)
    result = run(*command, file)
    assert result.exit_code == 1
    assert complaint in result.output
    assert "Traceback" not in result.output


def test_what_would_fail_is_found(run: Run, config: Path, free_port: int) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        udp.bind(("127.0.0.1", free_port))
        listen = f"127.0.0.1:{tcp.getsockname()[1]}"
        config.write_text(
            config.read_text()
            .replace('listen = "127.0.0.1:0"', f'listen = "{listen}"', 1)
            .replace("_worker = 10", "_worker = 100000000")
        )
        result = run("check", config)
    assert result.exit_code == 1
    failed = [line for line in result.output.splitlines() if line.startswith("FAIL")]
    assert [line.split(":")[0] for line in failed] == [
        "FAIL  file descriptors",
        "FAIL  server.listen",
        "FAIL  udp port range",
    ]
    assert "3 of these would fail" in result.output


def test_without_a_transport_nothing_can_run(run: Run, config: Path) -> None:
    config.write_text("[plugins]\nallow = []")
    result = run("check", config)
    assert "FAIL  transports: no plugin gives one: pip install sft-transport-udp" in result.output


def test_a_blocked_necessity_is_found(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("[plugins]", '[plugins]\nblock = ["dtls"]'))
    result = run("check", config)
    assert "FAIL  plugins: no plugin answers sft_dtls_identity" in result.output


def test_services_of_a_check_cannot_do_what_needs_a_worker() -> None:
    logged: list[check.Finding] = []
    services = check.CheckServices(0, 1, logged)
    services.log("transport_udp.short_buffer", wanted=2, granted=1)
    assert logged == [check.Finding(True, "transport_udp.short_buffer", "wanted=2, granted=1")]
    assert services.now() <= services.now()
    for call in (
        lambda: services.watch(0, print),  # type: ignore[arg-type]  # never called
        lambda: services.unwatch(0),
        lambda: services.call_at(0.0, print),  # type: ignore[arg-type]  # never called
        lambda: services.route_untrusted(b""),
    ):
        with pytest.raises(LocalError, match=r"TransportFactory\.open"):
            call()


# Certificates


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return dev_cert.write_certificate(tmp_path / "tls", ["sft.example", "192.0.2.1", "::1"])


def test_dev_cert_makes_what_the_configuration_wants(run: Run, tmp_path: Path, config: Path) -> None:
    folder = tmp_path / "made" / "here"
    result = run("dev-cert", "--host", "sft.example", "--host", "192.0.2.1", "--out", folder)
    assert result.exit_code == 0
    table = result.output.partition("[server]\n")[2]
    config.write_text(config.read_text().replace("[server]", f"[server]\n{table}"))
    assert "ok    server.certificate" in run("check", config).output
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600


def test_a_certificate_names_hosts_and_addresses(certificate: tuple[Path, Path]) -> None:
    made = x509.load_pem_x509_certificate(certificate[0].read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["sft.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("192.0.2.1"), ip_address("::1")]
    assert made.not_valid_after_utc > datetime.now(UTC)


def test_without_a_host_it_is_for_all_of_this_machine() -> None:
    hosts = dev_cert.own_hosts()
    assert {"localhost", "127.0.0.1", "::1", socket.gethostname()} <= set(hosts)


def test_nothing_is_overwritten(run: Run, certificate: tuple[Path, Path]) -> None:
    before = certificate[1].read_bytes()
    result = run("dev-cert", "--out", certificate[1].parent)
    assert result.exit_code == 1
    assert "is there already" in result.output
    assert certificate[1].read_bytes() == before


@pytest.mark.parametrize("wrong", ["missing", "not a key", "key of another"])
def test_a_certificate_that_cannot_be_used_is_found(
    wrong: str, run: Run, config: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    other = dev_cert.write_certificate(tmp_path / "other", ["localhost"])
    key = {"missing": tmp_path / "nowhere", "not a key": config, "key of another": other[1]}[wrong]
    lines = f'[server]\ncertificate = "{certificate[0]}"\nkey = "{key}"'
    config.write_text(config.read_text().replace("[server]", lines))
    assert "FAIL  server.certificate" in run("check", config).output


def test_an_expired_certificate_is_found(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_cert, "VALID_DAYS", 0)
    made = dev_cert.write_certificate(tmp_path / "old", ["localhost"])
    lines = f'[server]\ncertificate = "{made[0]}"\nkey = "{made[1]}"'
    config.write_text(config.read_text().replace("[server]", lines))
    assert "FAIL  server.certificate" in run("check", config).output


# The log


@pytest.fixture
def _plain_structlog() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_plain_structlog")
def test_the_log_can_be_read_by_machines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogConfig(level="info", format="json"))
    log = structlog.get_logger("gateway")
    log.debug("unimportant")
    log.info("listening", port=8585)
    text = capsys.readouterr().err
    assert '"event": "listening"' in text
    assert '"logger": "gateway"' in text
    assert "unimportant" not in text


@pytest.mark.usefixtures("_plain_structlog")
@pytest.mark.parametrize("format_", ["console", "json"])
def test_stack_traces_do_not_show_values(format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogConfig(level="info", format=format_))  # type: ignore[arg-type]  # one of the two
    credential = "hunter" + str(2)
    try:
        raise ValueError(len(credential))
    except ValueError:
        structlog.get_logger().exception("broken")
    text = capsys.readouterr().err
    assert "ValueError: 7" in text
    assert "hunter2" not in text


@pytest.mark.usefixtures("_plain_structlog")
@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(errno.ENOSPC, "no space"), ValueError("closed file")], ids=repr
)
@pytest.mark.parametrize("method", ["write", "flush"])
def test_a_log_that_cannot_be_written_costs_nothing_but_its_lines(
    method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(log, method, mock.Mock(side_effect=error))
    monkeypatch.setattr(sys, "stderr", log)
    configure_logging(LogConfig(level="info", format="json"))
    structlog.get_logger("gateway").info("listening")
    monkeypatch.undo()
