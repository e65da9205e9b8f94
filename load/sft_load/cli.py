"""The command ``sft-load``."""

from __future__ import annotations

import json
import math
import resource
import signal
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs
import click

from sft_load.campaign import FULL, SETTLE_SECONDS, Campaign, Step, judge_soak, participants_at
from sft_load.crew import Settings
from sft_load.crews import Crews, measure
from sft_load.errors import LoadError, OwnError
from sft_load.fleet import Fleet
from sft_load.http import read_url
from sft_load.joins import join_all, measure_joins
from sft_load.messages import Credentials
from sft_load.plan import PRESETS, Plan, read_layer
from sft_load.report import ProgressLine, Table, as_json
from sft_load.window import Limits, Outcome, Verdict

F = TypeVar("F", bound=Callable[..., Any])

EXIT_CODES = {Outcome.PASSED: 0, Outcome.FAILED: 1, Outcome.NONE: 3}
NO_LOAD = 2
INTERRUPTED = 128 + signal.SIGINT


class _Program(click.Group):
    """Whatever ends it has its exit code: a stack trace says nothing of the server."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LoadError as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(NO_LOAD) from error
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows these
        except Exception:
            traceback.print_exc()
            raise SystemExit(NO_LOAD) from None


class _Number(click.FloatRange):
    """A finite number: above 0, or also 0."""

    def __init__(self, *, zero: bool = False, most: float = 1e6) -> None:
        super().__init__(0, most, min_open=not zero)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


_server = _options(
    click.argument("url"),
    click.option("--server-pid", type=int, help="The server's process, if it runs on this machine."),
    click.option("--insecure", is_flag=True, help="Take any TLS certificate."),
    click.option("--stay-here", is_flag=True, help="Keep to URL even if the server names another."),
    click.option("--username", default="", help="Of the credentials to join with."),
    click.option("--credential", default="", help="Of the credentials to join with."),
    click.option("--json", "as_json_", is_flag=True, help="Print one JSON document instead of a table."),
)

_traffic = _options(
    click.option("--preset", type=click.Choice(sorted(PRESETS)), help="Traffic to start from."),
    click.option("--per-call", type=click.IntRange(2), help="Participants of a call."),
    click.option("--audio-rate", type=_Number(most=1000), help="Audio packets per second of each."),
    click.option("--audio-size", type=click.IntRange(80, 1200), help="Bytes of an audio packet."),
    click.option("--speakers", type=click.IntRange(0), help="How many speak at any time in a call."),
    click.option("--spurt-seconds", type=_Number(), help="How long one speaks, on average."),
    click.option("--layer", "layers", multiple=True, help="RID:PACKETS_PER_SECOND[:BYTES], repeatable."),
    click.option("--tiles", type=click.IntRange(0, 32), help="How many videos each asks for."),
    click.option("--large", type=click.IntRange(0), help="How many of these in high quality."),
    click.option("--page-seconds", type=_Number(zero=True), help="Show the next tiles every so often."),
    click.option(
        "--stay-seconds", type=_Number(zero=True), help="How long one stays, on average; then another comes."
    ),
    click.option("--pause-seconds", type=_Number(zero=True), help="How long a seat stays empty."),
    click.option("--vanishing", type=_Number(zero=True, most=1), help="Share that leaves without a word."),
    click.option("--joins-per-second", type=_Number(), help="Joins of all processes together."),
    click.option("--checked-every", type=click.IntRange(1), help="Decrypt what 1 receiver in N gets."),
    click.option(
        "--settle-seconds",
        type=_Number(zero=True),
        default=SETTLE_SECONDS,
        help="From the last join to measuring.",
    ),
    click.option("--processes", type=click.IntRange(1), default=1, show_default=True),
)

_limits = _options(
    click.option("--max-loss", type=_Number(zero=True, most=1), help="Share of packets."),
    click.option("--max-latency", type=_Number(), help="Seconds, of 99 % of the packets."),
    click.option(
        "--max-lateness", type=_Number(), help="Seconds, of 99 % of our own packets; else no verdict."
    ),
    click.option(
        "--max-others-cpu", type=_Number(zero=True), help="Cores other programs may use; else no verdict."
    ),
)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sft-load", prog_name="sft-load")
def main() -> None:
    """Load for a conference server, and what it makes of it.

    Exit code 0: passed. 1: the server did not hold its limits. 2: the load did not come about. 3: no verdict,
    because sft-load itself, or the machine it runs on, was the bottleneck. 130: interrupted.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # participants take one or two each


@main.command()
@_server
@_traffic
@_limits
@click.option("--participants", type=click.IntRange(1), help="In all calls; default: one call.")
@click.option("--seconds", type=_Number(), default=20.0, show_default=True, help="How long to measure.")
def run(url: str, participants: int | None, seconds: float, **options: Any) -> None:
    """Hold one load and tell what came of it."""
    plan = _plan(options)
    total = participants or plan.per_call

    def held(campaign: Campaign) -> Iterator[Step]:
        campaign.gather(total)
        yield campaign.hold(seconds)

    steps, end = _carry_out(url, plan, total, options, held)
    _finish(options, plan, steps, steps[-1].verdict.outcome, {}, end)


@main.command()
@_server
@_traffic
@_limits
@click.option("--start", type=click.IntRange(1), default=10, show_default=True, help="Participants.")
@click.option("--step", "step_", type=click.IntRange(1), default=10, show_default=True)
@click.option("--most", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--seconds", type=_Number(), default=8.0, show_default=True, help="How long to measure each.")
def ramp(url: str, start: int, step_: int, most: int, seconds: float, **options: Any) -> None:
    """Find out how many participants the server holds.

    More and more, until loss or latency are beyond their limits twice in a row.
    """
    if start > most:
        raise click.UsageError("--start is larger than --most")
    plan = _plan(options)
    steps, end = _carry_out(
        url, plan, most, options, lambda campaign: campaign.ramp(start, step_, most, seconds)
    )
    passed = [step.window.participants for step in steps if step.verdict.outcome is Outcome.PASSED]
    last = steps[-1].verdict.outcome if end is None else end.outcome
    answer: dict[str, Any] = {"holds": max(passed, default=0), "limit_found": last is Outcome.FAILED}
    if (at := participants_at(steps, FULL)) is not None:
        answer["participants_at_70_percent_of_a_core"] = round(at)
    if not options["as_json_"]:
        least = "" if last is Outcome.FAILED else "at least "
        click.echo(f"holds {least}{answer['holds']} participants")
        if at is not None:
            click.echo(f"{at:.0f} participants take 70 % of a core of the server")
    outcome = Outcome.NONE if last is Outcome.NONE else Outcome.PASSED if passed else Outcome.FAILED
    _finish(options, plan, steps, outcome, answer, end)


@main.command()
@_server
@_traffic
@_limits
@click.option("--participants", type=click.IntRange(1), help="In all calls; default: one call.")
@click.option("--minutes", type=_Number(), default=30.0, show_default=True)
@click.option("--period", type=_Number(), default=15.0, show_default=True, help="Seconds of a row.")
def soak(url: str, participants: int | None, minutes: float, period: float, **options: Any) -> None:
    """Keep a load for long, with participants coming and going.

    Fails if the server's memory or descriptors grow (needs --server-pid), or as ``run`` does.
    """
    if options["stay_seconds"] is None:
        options["stay_seconds"] = 60.0
    plan = _plan(options)
    total = participants or plan.per_call

    def soaked(campaign: Campaign) -> Iterator[Step]:
        campaign.gather(total)
        yield from campaign.soak(minutes * 60, period)

    steps, end = _carry_out(url, plan, total, options, soaked)
    verdict = judge_soak(steps)
    verdict = Verdict(_worse(verdict.outcome, end), verdict.reasons + ((end.reason,) if end else ()))
    if not options["as_json_"]:
        click.echo(str(verdict))
    answer = {"verdict": verdict.outcome.value, "reasons": list(verdict.reasons)}
    _finish(options, plan, steps, verdict.outcome, answer, end)


@main.command()
@_server
@click.option("--participants", type=click.IntRange(2), default=100, show_default=True)
@click.option("--per-call", type=click.IntRange(1), default=2, show_default=True)
@click.option("--under-way", type=click.IntRange(1), default=8, show_default=True, help="At any time.")
def joins(url: str, participants: int, per_call: int, under_way: int, **options: Any) -> None:
    """Find out how many joins per second the server does."""
    credentials = Credentials(options["username"], options["credential"])
    server = read_url(url, insecure=options["insecure"])
    if options["server_pid"] is not None:
        measure(options["server_pid"])
    fleet = Fleet(server, credentials=credentials, stays=options["stay_here"])
    try:
        join_all(fleet, fleet.add(2, checked=False), under_way)  # its imports and caches, and ours
        sizes = [per_call] * (participants // per_call) + [participants % per_call]
        clients = [client for size in sizes for client in fleet.add(size, checked=False)]
        result = measure_joins(fleet, clients, under_way, options["server_pid"])
    finally:
        fleet.hang_up()
        fleet.close()
    if options["as_json_"]:
        click.echo(json.dumps(result))
    else:
        for name, value in result.items():
            text = value if isinstance(value, str) else f"{value:,.4g}"
            click.echo(f"{name.replace('_', ' '):<32} {text}")
    raise SystemExit(0 if result["verdict"] == "measured" else EXIT_CODES[Outcome.NONE])


def _plan(options: dict[str, Any]) -> Plan:
    """The preset, or the default, and what was said on top of it."""
    layers = tuple(map(read_layer, options["layers"])) or None
    if layers and len({layer.rid for layer in layers}) < len(layers):
        raise LoadError("two layers of the same name")
    given = {field.name: options.get(field.name) for field in attrs.fields(Plan)} | {"layers": layers}
    plan = PRESETS[options["preset"]] if options["preset"] else Plan()
    return attrs.evolve(plan, **{name: value for name, value in given.items() if value is not None})


@attrs.frozen
class _End:
    """What ended a campaign before its time, and what it says of the server."""

    reason: str
    outcome: Outcome
    code: int | None = None
    """To exit with, if it is not that of the outcome."""


def _carry_out(
    url: str,
    plan: Plan,
    total: int,
    options: dict[str, Any],
    steps: Callable[[Campaign], Iterator[Step]],
) -> tuple[list[Step], _End | None]:
    """The steps, each shown as it comes, and what ended them before their time. ``total``: the most
    participants there will be. LoadError and KeyboardInterrupt: before there was any step."""
    progress, table = ProgressLine(), Table(server=options["server_pid"] is not None)
    names = ("loss", "latency", "lateness", "others_cpu")
    limits = {name: options[f"max_{name}"] for name in names if options[f"max_{name}"] is not None}
    settings = Settings(
        url=url,
        plan=plan,
        calls=tuple(uuid.uuid4().hex for _ in range(-(-total // plan.per_call))),
        processes=options["processes"],
        insecure=options["insecure"],
        stays=options["stay_here"],
        credentials=Credentials(options["username"], options["credential"]),
    )
    plan.check(total)
    read_url(url)
    if options["server_pid"] is not None:
        measure(options["server_pid"])
    taken: list[Step] = []
    end = None
    try:
        with Crews(settings, options["server_pid"]) as crews:
            for step in steps(Campaign(crews, Limits(**limits), progress, options["settle_seconds"])):
                taken.append(step)
                progress.clear()
                if not options["as_json_"]:
                    table.add(step)
    except LoadError as error:
        if not taken:
            raise
        end = _End(str(error), Outcome.NONE if isinstance(error, OwnError) else Outcome.FAILED)
    except KeyboardInterrupt:
        if not taken:
            raise
        end = _End("interrupted", Outcome.NONE, INTERRUPTED)
    finally:
        progress.clear()
    return taken, end


def _finish(
    options: dict[str, Any],
    plan: Plan,
    steps: list[Step],
    outcome: Outcome,
    answer: dict[str, Any],
    end: _End | None,
) -> None:
    """Print what is not shown yet, and end with the exit code of it all."""
    code = EXIT_CODES[outcome]
    if end is not None:
        answer = {**answer, "ended": end.reason}
        code = end.code or EXIT_CODES[_worse(outcome, end)]
    if options["as_json_"]:
        rows = [as_json(step) for step in steps]
        click.echo(json.dumps({"plan": attrs.asdict(plan), "time": time.time(), "steps": rows, **answer}))
    elif end is not None:
        click.echo(f"ended before its time: {end.reason}")
    raise SystemExit(code)


def _worse(outcome: Outcome, end: _End | None) -> Outcome:
    """What is known of the server: whoever ends before his time has not passed."""
    if end is None:
        return outcome
    return Outcome.FAILED if Outcome.FAILED in (outcome, end.outcome) else Outcome.NONE
