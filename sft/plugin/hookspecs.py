"""The hooks: what a plugin may implement. This file is the contract, docs/plugins.md explains it.

A plugin is a module (or any object) whose functions are marked with :data:`sft.hookimpl` and named
like one of the hooks below. It takes the arguments it wants, by name. All hooks are plain functions,
called at control time, never per packet; none may block: each runs on the process's one trio thread and
everything else waits for it.

Processes: the *gateway* answers HTTP, authorizes, places calls and supervises; each *worker* carries
the calls placed on it. Every process loads all plugins, so a plugin's module state is per process. With
one worker both roles may share a process; each hook is called as often as if they did not.

Order: plugins from ``[plugins] modules`` in the config's order, then installed plugins in the order
of ``[plugins] allow`` or by name, then the built-in ones. "First result" hooks ask in that order
until one answers something else than None. pluggy's ``tryfirst`` and ``trylast`` move one implementation;
its wrappers are refused.

Faults (an exception, or a result of the wrong kind) are logged with the plugin's name and counted;
what they do besides is said per hook, in one of these words:

* *stops the start*: the process exits with :class:`sft.errors.PluginError`;
* *is skipped*: the other plugins' implementations still run;
* *refuses*, *falls back*: the question is answered without the plugin, and no other plugin is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from sft.config import Config
    from sft.model import (
        DtlsIdentity,
        EnvelopeVerdict,
        JoinRecord,
        ParticipantId,
        PathKind,
        RosterEntry,
        WorkerLoad,
    )
    from sft.plugin.interfaces import CommonServices, Engine, GatewayServices, Services, TransportFactory
    from sft.plugin.nursery import PluginNursery
    from sft.plugin.values import (
        AuthRequest,
        DrainState,
        HttpRoutes,
        PlacementRequest,
        Snapshot,
        Verdict,
    )

hookspec = pluggy.HookspecMarker("sft")

# Configuration -------------------------------------------------------------------------------------


@hookspec
def sft_config_table() -> type[Any] | None:
    """The class of this plugin's table ``[plugins.NAME]``, NAME being the plugin's name.

    Returns: an attrs class whose attributes are the table's keys; all need defaults. Attribute types:
    ``bool``, ``int``, ``float``, ``str``, ``Literal[...]``, ``tuple[X, ...]``, unions of these and
    other such classes. A validator that raises ``ValueError`` refuses the value. Read the table with
    ``config.table(cls)``. None: the plugin has no table.

    When: once, after all plugins are loaded. Where: every process, and every ``sft-serve`` subcommand,
    before any trio run.

    A fault *stops the start*.

    Example::

        @attrs.frozen
        class Greeting:
            text: str = "hello"


        @hookimpl
        def sft_config_table() -> type[Greeting]:
            return Greeting
    """


@hookspec
def sft_configure(config: Config) -> None:
    """The configuration is read: take from it what the other hooks need.

    config: the whole configuration, with ``config.table(cls)`` for the plugin's own table and
    ``config.path(text)`` for paths relative to the file.

    When: once, after ``sft_config_table`` of all plugins and before any other hook. Where: every
    process, and ``sft-serve check``, before any trio run.

    A fault *stops the start*; raise :class:`sft.errors.ConfigError` to name the key that is wrong.

    Example::

        @hookimpl
        def sft_configure(config: Config) -> None:
            banned.update(config.table(Bans).users)
    """


# Transports and engine -----------------------------------------------------------------------------


@hookspec
def sft_transports(config: Config, services: Services) -> Sequence[TransportFactory] | None:
    """The transports this plugin offers.

    config: the whole configuration. services: the worker's services; keep them.
    Returns: factories; each participant gets one transport of every factory of every plugin.

    When: once per worker, at its start, in its main task; and in ``sft-serve check``, where
    ``services`` can only log and tell the worker's index. Bind ports in ``TransportFactory.open``, not here.

    A fault *stops the start*.

    Example::

        @hookimpl
        def sft_transports(config: Config, services: Services) -> list[TransportFactory]:
            return [PigeonFactory(config.table(PigeonConfig), services)]
    """


@hookspec(firstresult=True)
def sft_engine(config: Config, services: Services) -> Engine | None:
    """The engine that rewrites, protects and sends forwarded packets. First result; without one the
    built-in Python engine does it.

    config: the whole configuration. services: the worker's services.
    Returns: an :class:`sft.plugin.Engine`, or None.

    When: once per worker, at its start, in its main task.

    A fault *stops the start*: an operator who installed a faster engine wants to know.

    Example::

        @hookimpl
        def sft_engine(config: Config, services: Services) -> Engine:
            return NativeEngine(services.drops)
    """


# Placement -----------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def sft_place_call(request: PlacementRequest, workers: Sequence[WorkerLoad]) -> int | None:
    """Which worker hosts a new call. First result; the built-in plugin ``placement`` takes the least loaded.

    request: the call and who asks for it. workers: all that take new calls (running and not
    draining), never empty.
    Returns: the ``worker`` of one of them; None: ask the next plugin.

    When: for the first participant of each call. Where: the gateway, in the task of the HTTP request.

    A fault, also a worker that is not in ``workers``, *falls back* to the least loaded.

    Example::

        @hookimpl
        def sft_place_call(request: PlacementRequest, workers: Sequence[WorkerLoad]) -> int:
            return min(workers, key=lambda load: load.calls).worker
    """


# Keys ----------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def sft_authorize(request: AuthRequest) -> Verdict | None:
    """May this participant join, or start, the call? First result; without one it may.

    request: who asks for what, with its credentials. The built-in plugin ``credentials`` answers if
    ``[credentials] secret_file`` is set.
    Returns: ``Verdict.allow()``, ``Verdict.refuse(status, reason)``, or None: ask the next plugin.

    When: for every CONFCONN, also of a participant that reconnects. Where: the gateway, in the
    task of the HTTP request; it must answer from memory, so fetch what it needs in ``sft_run``.

    A fault *refuses* with status 2 (credentials invalid).

    Example::

        @hookimpl
        def sft_authorize(request: AuthRequest) -> Verdict | None:
            if request.user in BANNED:
                return Verdict.refuse(Status.CREDENTIALS_INVALID, "banned")
            return None
    """


@hookspec(firstresult=True)
def sft_dtls_identity() -> DtlsIdentity | None:
    """The certificate and key of the DTLS endpoints. First result; the built-in plugin ``dtls`` makes
    a new ECDSA P-256 certificate per process.

    Returns: a :class:`sft.model.DtlsIdentity`, or None: ask the next plugin.

    When: once per worker, at its start, in its main task.

    A fault, or no answer, *stops the start*.

    Example::

        @hookimpl
        def sft_dtls_identity() -> DtlsIdentity:
            return read_identity(Path("/etc/sft/dtls.pem"))
    """


@hookspec(firstresult=True)
def sft_srtp_profiles() -> Sequence[str] | None:
    """The SRTP protection profiles to accept, best first. First result; the built-in plugin ``srtp``
    answers AES-128-GCM, AES-256-GCM, AES-128-CM with HMAC-SHA1-80.

    Returns: one or more of ``SRTP_AEAD_AES_128_GCM``, ``SRTP_AEAD_AES_256_GCM``,
    ``SRTP_AES128_CM_SHA1_80`` (RFC 7714 section 14.2, RFC 5764 section 4.1.2); None: ask the next plugin.

    When: once per worker, at its start, in its main task.

    A fault, another name, an empty answer or none *stops the start*.

    Example::

        @hookimpl
        def sft_srtp_profiles() -> list[str]:
            return ["SRTP_AEAD_AES_256_GCM"]
    """


@hookspec
def sft_roster_changed(call: str, roster: Sequence[RosterEntry], reason: str) -> None:
    """The set or the order of a call's participants changed: what its clients re-key on.

    call: the call's id. roster: all participants, first one first, in the order that is announced.
    reason: ``joined``, ``left`` or ``reconnected``.

    When: after each change, before it is announced to the clients. Where: the call's worker, in
    its main task.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_roster_changed(call: str, roster: Sequence[RosterEntry], reason: str) -> None:
            audit.write(call, [entry.user for entry in roster], reason)
    """


@hookspec(firstresult=True)
def sft_order_roster(call: str, roster: Sequence[RosterEntry]) -> Sequence[RosterEntry] | None:
    """The order of a call's roster. First result; without one it is the join order.

    The first participant makes the keys in calls that are not MLS, and its audio always takes slot 0: an
    order that changes often makes clients re-key often.

    call: the call's id. roster: its participants by join index.
    Returns: the same entries, each once, in the wanted order; None: ask the next plugin.

    When: at each change of the set of participants, before ``sft_roster_changed``. Where: the
    call's worker, in its main task.

    A fault, also lost or doubled entries, *falls back* to the join order.

    Example::

        @hookimpl
        def sft_order_roster(call: str, roster: Sequence[RosterEntry]) -> list[RosterEntry]:
            return sorted(roster, key=lambda entry: (entry.user not in HOSTS, entry.joined))
    """


@hookspec(firstresult=True)
def sft_key_envelope(
    call: str, sender: ParticipantId, recipients: Sequence[ParticipantId], envelope: str
) -> EnvelopeVerdict | None:
    """May this key envelope be delivered? First result; without one it may.

    A key envelope is an end-to-end encrypted message of one client to others; the server
    carries it and cannot read it.

    call: the call's id. sender: who sent it. recipients: the devices this delivery would reach, never
    empty, never the sender; the answer is for all of them. envelope: base64 text, opaque.
    Returns: ``ALLOW``, ``REFUSE``, ``HOLD`` (keep it and ask again every second and on each roster
    change, for at most 60 s, then refuse), or None: ask the next plugin.

    When: for each envelope that comes in, for each replay of a kept one to a late participant, and
    again while it is held. Where: the call's worker, in its main task.

    A fault *refuses*.

    Example::

        @hookimpl
        def sft_key_envelope(
            call: str, sender: ParticipantId, recipients: Sequence[ParticipantId], envelope: str
        ) -> EnvelopeVerdict:
            return EnvelopeVerdict.ALLOW if sender.user in TRUSTED else EnvelopeVerdict.HOLD
    """


# Telemetry -----------------------------------------------------------------------------------------


@hookspec
def sft_call_started(call: str) -> None:
    """A call came to life.

    call: the call's id.

    When: with its first participant, before ``sft_participant_joined``. Where: the call's worker,
    in its main task.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_call_started(call: str) -> None:
            started[call] = time.time()
    """


@hookspec
def sft_call_ended(call: str, reason: str) -> None:
    """A call is over; every ``sft_call_started`` is followed by one of these.

    call: the call's id. reason: ``empty``: the last participant left; ``refused``: the first got no offer.

    When: after ``sft_participant_left`` of its last participant. Where: the call's worker, in its
    main task.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_call_ended(call: str, reason: str) -> None:
            bill(call, time.time() - started.pop(call))
    """


@hookspec
def sft_participant_joined(call: str, participant: ParticipantId) -> None:
    """A participant's data channel opened: it is in the call.

    call: the call's id. participant: who.

    When: before ``sft_roster_changed``. Where: the call's worker, in its main task.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_participant_joined(call: str, participant: ParticipantId) -> None:
            print(f"{participant} joined {call}")
    """


@hookspec
def sft_participant_left(
    call: str, participant: ParticipantId, reason: str, detail: str, path: PathKind
) -> None:
    """A participant is gone; every ``sft_participant_joined`` is followed by one of these.

    call: the call's id. participant: who. reason: ``hangup``: it said goodbye; ``connection_ended``: it
    closed the connection, or that broke; ``silence``, ``no_ping``: it vanished; ``channel_stalled``: it did
    not read; ``server_stopped``; ``offered_timeout``, ``answered_timeout``, ``connected_timeout``: its
    connection had ended and the next one did not come up. There are no other words. detail: for people, such
    as ``DTLS close_notify``; may be empty. path: what kind of way its packets took at last; ``str(path)`` is
    short, such as ``udp host-relay``.

    When: before ``sft_roster_changed``. Where: the call's worker, in its main task.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_participant_left(call: str, participant: ParticipantId, reason: str) -> None:
            print(f"{participant} left {call}: {reason}")  # arguments nobody needs may be left out
    """


@hookspec
def sft_join_ended(join: JoinRecord) -> None:
    """A join is over: a connection came up, failed, or got no offer.

    join: who, how it ended, and the times of its phases. One participant may have several: each connection
    that is asked for is a join of its own.

    When: for one that failed or was refused, at once; for an established one when its first packet of media
    came, within a second, or after ten seconds without one. Not for joins under way in a worker that dies or
    when the server stops. Where: the gateway, in the task that hears of it.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_join_ended(join: JoinRecord) -> None:
            print(f"{join.outcome} after {join.ended - join.began:.3f} s, {join.path}")
    """


@hookspec
def sft_snapshot(snapshot: Snapshot) -> None:
    """All counters of one worker at one moment.

    snapshot: read-only; do not keep more than the newest per worker.

    When: once per worker every ``[telemetry] snapshot_seconds``. Where: the gateway, in a task of its own.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_snapshot(snapshot: Snapshot) -> None:
            statsd.gauge(f"sft.{snapshot.worker}.calls", len(snapshot.calls))
    """


# HTTP ----------------------------------------------------------------------------------------------


@hookspec
def sft_http_routes(config: Config, services: GatewayServices) -> Sequence[HttpRoutes] | None:
    """Pages and endpoints of this plugin.

    config: the whole configuration. services: the gateway's services; ``services.snapshots()``
    gives what a page of numbers shows.
    Returns: Starlette routes per listener: ``public`` is the clients' listener, ``operator`` the one
    that only operators reach (default 127.0.0.1:49090), under IP addresses, ``localhost`` and
    ``server.operator_hosts``. The core's own routes win.

    When: once, at the gateway's start, in its main task. The endpoints run in the task of their HTTP
    request; what they raise becomes a 500.

    A fault *stops the start*.

    Example::

        @hookimpl
        def sft_http_routes(config: Config, services: GatewayServices) -> list[HttpRoutes]:
            async def calls(request: Request) -> Response:
                return JSONResponse({"calls": sum(len(one.calls) for one in services.snapshots())})

            return [HttpRoutes("operator", [Route("/calls", calls)])]
    """


# Life ----------------------------------------------------------------------------------------------


@hookspec
def sft_run(nursery: PluginNursery, services: CommonServices) -> None:
    """Start this plugin's background tasks.

    nursery: ``nursery.start_soon(async_fn, *args)`` starts a task; all are cancelled when the process
    stops. services: of this process; ``services.role`` is ``gateway`` or ``worker``.

    When: once in the gateway and once in each worker, when it is ready to take requests, in its main task.

    A fault *is skipped*; so is one of a task it started (that task ends).

    Example::

        @hookimpl
        def sft_run(nursery: PluginNursery, services: CommonServices) -> None:
            if services.role == "gateway":
                nursery.start_soon(refresh_ban_list)
    """


@hookspec
def sft_draining(state: DrainState) -> None:
    """The instance goes on its way out, or came back from it.

    state: ``DRAINING``: no new calls, live ones go on; ``CLOSED``: the last call is over, the
    process is about to exit; ``RUNNING``: draining was called off.

    When: at each change. Where: the gateway and each worker, in its main task.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_draining(state: DrainState) -> None:
            consul.set_health("passing" if state is DrainState.RUNNING else "critical")
    """


@hookspec
def sft_reload(config: Config) -> None:
    """The operator asks for changed files to be read anew, by SIGHUP: secrets, certificates, lists.

    config: the whole configuration, as ``sft_configure`` got it; its file is not read again.

    What cannot be used now must not replace what is in use: log it and keep the old.

    When: at each SIGHUP. Where: the gateway, in its main task.

    A fault *is skipped*.

    Example::

        @hookimpl
        def sft_reload(config: Config) -> None:
            banned.clear()
            banned.update(config.path("banned.txt").read_text().split())
    """
