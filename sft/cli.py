"""The command ``sft-serve``. What a subcommand needs is imported when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from sft._version import __version__
from sft.errors import SftError

CONFIG = click.Path(dir_okay=False, path_type=Path)


@contextmanager
def _complaints() -> Iterator[None]:
    """What an operator did is told in a line, without a stack trace."""
    try:
        yield
    except SftError as error:
        raise click.ClickException(str(error)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sft-serve")
def main() -> None:
    """A selective forwarding server for end-to-end encrypted conference calls."""


@main.command()
@click.option("-c", "--config", "file", type=CONFIG, help="Configuration file (TOML); default: none needed.")
def run(file: Path | None) -> None:
    """Run an instance until it is told to stop.

    SIGTERM drains: no new calls, exit when the last one is over. SIGINT stops at once.
    SIGHUP reads certificate, key and secret anew.
    """
    import signal

    # Until somebody listens: it would end the process, and a service manager may well be this quick.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    from sft.config.logs import configure_logging
    from sft.plugin.manager import prepare

    with _complaints():
        config, manager = prepare(file)
        configure_logging(config.log)
        from sft.server.main import run as run_instance

        run_instance(config, manager)


@main.command()
@click.option("-c", "--config", "file", type=CONFIG, help="List what this configuration loads.")
def plugins(file: Path | None) -> None:
    """List the plugins, in the order in which they are asked."""
    from sft.config import read_config
    from sft.plugin.manager import PluginManager

    with _complaints():
        manager = PluginManager.load(read_config(file))
    for plugin in manager.describe():
        click.echo(f"{plugin.name} {plugin.version} ({plugin.origin})".replace("  ", " "))
        for hook in plugin.hooks:
            click.echo(f"    {hook}")


@main.command()
@click.argument("file", metavar="CONFIG", type=CONFIG)
def check(file: Path) -> None:
    """Check a configuration and whether this machine can run it now.

    Exit code 1 if something would fail.
    """
    from sft.check import findings
    from sft.plugin.manager import prepare

    with _complaints():
        config, manager = prepare(file)
        click.echo(f"ok    {file}")
        failed = 0
        for finding in findings(config, manager):
            failed += not finding.ok
            click.echo(f"{'ok   ' if finding.ok else 'FAIL '} {finding.subject}: {finding.detail}")
    if failed:
        raise click.ClickException(f"{failed} of these would fail")


@main.command("dev-cert")
@click.option("--host", "hosts", multiple=True, help="Name or IP address; default: all of this machine.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder.")
def dev_cert(hosts: tuple[str, ...], out: Path) -> None:
    """Make a self-signed certificate for trying things out in a LAN."""
    from sft.dev_cert import own_hosts, write_certificate

    names = list(hosts) or own_hosts()
    try:
        certificate, key = write_certificate(out, names)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"for {', '.join(names)}; add to the configuration:\n")
    click.echo(f'[server]\ncertificate = "{certificate.resolve()}"\nkey = "{key.resolve()}"')


if __name__ == "__main__":
    main()
