"""What a plugin that fails does to everybody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import structlog
import trio
import trio.testing

from sft import hookimpl
from sft.config import Config
from sft.errors import ConfigError, LocalError, PluginError
from sft.model import (
    DtlsIdentity,
    EnvelopeVerdict,
    JoinRecord,
    ParticipantId,
    PathKind,
    RosterEntry,
    WorkerLoad,
)
from sft.plugin import AuthRequest, PlacementRequest, PluginNursery, Status, Verdict
from sft.plugin.manager import NOTIFICATIONS, PluginManager

MakeManager = Callable[..., PluginManager]

ALICE, BOB = ParticipantId("alice", "1"), ParticipantId("bob", "2")
ROSTER = (RosterEntry("alice", "1", 0), RosterEntry("bob", "2", 1), RosterEntry("carol", "3", 4))
WORKERS = [WorkerLoad(0, packets_per_second=900.0, free_ports=9), WorkerLoad(3, free_ports=9)]
PLACEMENT = PlacementRequest(call="c", user="u", client="1", address="192.0.2.1")
REQUEST = AuthRequest(
    call="c",
    user="u",
    client="1",
    username="name",
    credential="hunter2",
    starting=True,
    address="192.0.2.1",
    toolver="10.0.0",
)
IDENTITY = DtlsIdentity(b"certificate", b"key", "AB:CD")
PATH = PathKind("udp", "host", "relay")
NOTICES: dict[str, dict[str, object]] = {
    "sft_call_started": {"call": "c"},
    "sft_call_ended": {"call": "c", "reason": "empty"},
    "sft_participant_joined": {"call": "c", "participant": ALICE},
    "sft_participant_left": {
        "call": "c",
        "participant": ALICE,
        "reason": "hangup",
        "detail": "",
        "path": PATH,
    },
    "sft_join_ended": {
        "join": JoinRecord(call="c", participant=ALICE, outcome="established", began=1.0, ended=2.0)
    },
    "sft_roster_changed": {"call": "c", "roster": ROSTER, "reason": "joined"},
    "sft_snapshot": {"snapshot": object()},
    "sft_draining": {"state": "draining"},
    "sft_reload": {"config": Config()},
}


def plugin(hook: str, answer: Callable[[], object]) -> object:
    """A plugin with one hook that takes no arguments."""

    def implementation() -> object:
        return answer()

    return type("Plugin", (), {hook: staticmethod(hookimpl(implementation))})()


def answers(hook: str, value: object) -> object:
    return plugin(hook, lambda: value)


def fails(hook: str) -> object:
    def answer() -> object:
        raise ZeroDivisionError("on purpose")

    return plugin(hook, answer)


# Telemetry and life


def test_every_notification_is_tried_here() -> None:
    assert set(NOTICES) == NOTIFICATIONS


@pytest.mark.parametrize("hook", sorted(NOTIFICATIONS))
def test_a_fault_in_a_notification_is_logged_counted_and_skipped(
    hook: str, make_manager: MakeManager
) -> None:
    heard: list[str] = []
    manager = make_manager(
        early=plugin(hook, lambda: heard.append("early")),
        broken=fails(hook),
        late=plugin(hook, lambda: heard.append("late")),
    )
    with structlog.testing.capture_logs() as logs:
        manager.notify(hook, **NOTICES[hook])
    assert heard == ["early", "late"]
    assert manager.faults == {("broken", hook): 1}
    (line,) = logs
    assert (line["event"], line["plugin"], line["hook"]) == ("plugin_fault", "broken", hook)
    assert "on purpose" in line["error"]


def test_each_hook_of_each_plugin_is_counted_from_zero_on(make_manager: MakeManager) -> None:
    manager = make_manager(fine=plugin("sft_call_started", lambda: None), broken=fails("sft_call_started"))
    assert manager.fault_counts() == {"fine.sft_call_started": 0, "broken.sft_call_started": 0}
    manager.notify("sft_call_started", call="c")
    assert manager.fault_counts() == {"fine.sft_call_started": 0, "broken.sft_call_started": 1}


def test_only_the_first_of_many_equal_faults_is_logged_with_its_stack(make_manager: MakeManager) -> None:
    manager = make_manager(broken=fails("sft_call_started"))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            manager.notify("sft_call_started", call="c")
    assert [line["exc_info"] is not None for line in logs] == [True, False, False]
    assert manager.faults["broken", "sft_call_started"] == 3


def test_a_notification_the_core_misspells_is_our_fault_not_a_plugins(make_manager: MakeManager) -> None:
    manager = make_manager()
    for hook, arguments in (
        ("sft_authorize", {"request": REQUEST}),
        ("sft_call_begun", {"call": "c"}),
        ("sft_call_ended", {"call": "c"}),
    ):
        with pytest.raises(LocalError):
            manager.notify(hook, **arguments)


def test_a_plugin_takes_only_the_arguments_it_wants(make_manager: MakeManager) -> None:
    heard: list[object] = []

    class Plugin:
        @hookimpl
        def sft_participant_left(self, reason: str, call: str) -> None:
            heard.append((call, reason))

    manager = make_manager(one=Plugin())
    manager.notify("sft_participant_left", call="c", participant=ALICE, reason="hangup", detail="", path=PATH)
    assert heard == [("c", "hangup")]
    assert not manager.faults


# sft_authorize


def test_without_an_answer_everybody_may_join(make_manager: MakeManager) -> None:
    assert make_manager(silent=answers("sft_authorize", None)).authorize(REQUEST).allowed


def test_the_first_answer_about_a_participant_counts(make_manager: MakeManager) -> None:
    manager = make_manager(
        silent=answers("sft_authorize", None),
        strict=answers("sft_authorize", Verdict.refuse(Status.CREDENTIALS_EXPIRED, "old")),
        lenient=answers("sft_authorize", Verdict.allow()),
    )
    assert manager.authorize(REQUEST) == Verdict(Status.CREDENTIALS_EXPIRED, "old")


@pytest.mark.parametrize("broken", [fails("sft_authorize"), answers("sft_authorize", True)])
def test_a_broken_check_refuses_and_is_not_outvoted(broken: object, make_manager: MakeManager) -> None:
    manager = make_manager(broken=broken, lenient=answers("sft_authorize", Verdict.allow()))
    verdict = manager.authorize(REQUEST)
    assert verdict.status is Status.CREDENTIALS_INVALID
    assert "broken" in verdict.reason
    assert manager.faults == {("broken", "sft_authorize"): 1}


def test_a_credential_never_shows_up_in_the_log(make_manager: MakeManager) -> None:
    class Plugin:
        @hookimpl
        def sft_authorize(self, request: AuthRequest) -> Verdict:
            raise ValueError(f"what is {request}?")

    manager = make_manager(broken=Plugin())
    with structlog.testing.capture_logs() as logs:
        manager.authorize(REQUEST)
    assert "hunter2" not in repr(logs)


# sft_key_envelope


def envelope(manager: PluginManager) -> EnvelopeVerdict:
    return manager.key_envelope("c", ALICE, [BOB], "b3BhcXVl")


@pytest.mark.parametrize("verdict", EnvelopeVerdict)
def test_an_envelope_goes_where_the_first_answer_says(
    verdict: EnvelopeVerdict, make_manager: MakeManager
) -> None:
    assert envelope(make_manager(one=answers("sft_key_envelope", verdict))) is verdict


def test_without_an_answer_envelopes_are_delivered(make_manager: MakeManager) -> None:
    assert envelope(make_manager()) is EnvelopeVerdict.ALLOW


@pytest.mark.parametrize("broken", [fails("sft_key_envelope"), answers("sft_key_envelope", "allow")])
def test_a_fault_refuses_an_envelope(broken: object, make_manager: MakeManager) -> None:
    manager = make_manager(broken=broken, lenient=answers("sft_key_envelope", EnvelopeVerdict.ALLOW))
    assert envelope(manager) is EnvelopeVerdict.REFUSE


# sft_place_call


def test_placement_follows_the_first_answer_also_worker_zero(make_manager: MakeManager) -> None:
    manager = make_manager(
        first=answers("sft_place_call", 0),
        second=answers("sft_place_call", 3),
    )
    assert manager.place_call(PLACEMENT, WORKERS) == 0


@pytest.mark.parametrize(
    "broken", [fails("sft_place_call"), answers("sft_place_call", 7), answers("sft_place_call", "0")]
)
def test_a_fault_in_placement_falls_back_to_the_least_loaded(
    broken: object, make_manager: MakeManager
) -> None:
    manager = make_manager(broken=broken)
    assert manager.place_call(PLACEMENT, WORKERS) == 3
    assert manager.faults == {("broken", "sft_place_call"): 1}


def test_placement_works_without_any_plugin(make_manager: MakeManager) -> None:
    assert make_manager().place_call(PLACEMENT, WORKERS) == 3


# sft_order_roster


def test_a_plugin_orders_the_roster(make_manager: MakeManager) -> None:
    manager = make_manager(one=answers("sft_order_roster", list(reversed(ROSTER))))
    assert manager.order_roster("c", ROSTER) == tuple(reversed(ROSTER))


@pytest.mark.parametrize("answer", [ROSTER[:2], (*ROSTER, ROSTER[0]), (), [1, 2, 3], 5])
def test_an_order_that_is_none_leaves_the_join_order(answer: object, make_manager: MakeManager) -> None:
    manager = make_manager(broken=answers("sft_order_roster", answer))
    assert manager.order_roster("c", ROSTER) == ROSTER
    assert manager.faults["broken", "sft_order_roster"] == 1


def test_a_fault_leaves_the_join_order(make_manager: MakeManager) -> None:
    assert make_manager(broken=fails("sft_order_roster")).order_roster("c", ROSTER) == ROSTER


# Hooks that stop the start

START: dict[str, Callable[[PluginManager], object]] = {
    "sft_config_table": lambda manager: manager.config_tables(),
    "sft_configure": lambda manager: manager.configure(Config()),
    "sft_transports": lambda manager: manager.transports(Config(), services()),
    "sft_engine": lambda manager: manager.engine(Config(), services()),
    "sft_dtls_identity": lambda manager: manager.dtls_identity(),
    "sft_srtp_profiles": lambda manager: manager.srtp_profiles(),
    "sft_http_routes": lambda manager: manager.http_routes(Config(), services()),
}


def services() -> Any:
    return object()


@pytest.mark.parametrize("hook", START)
def test_a_fault_at_the_start_stops_it_and_names_plugin_and_hook(
    hook: str, make_manager: MakeManager
) -> None:
    manager = make_manager(broken=fails(hook))
    with pytest.raises(PluginError, match=rf"'broken' failed in {hook}: ZeroDivisionError\('on purpose'\)"):
        START[hook](manager)
    assert manager.faults == {("broken", hook): 1}


@pytest.mark.parametrize("hook", START)
def test_a_config_error_of_a_plugin_comes_out_as_it_is(hook: str, make_manager: MakeManager) -> None:
    def answer() -> object:
        raise ConfigError("sft.toml: plugins.one.key: is wrong")

    with pytest.raises(ConfigError, match=r"^sft\.toml: plugins\.one\.key: is wrong$"):
        START[hook](make_manager(one=plugin(hook, answer)))


@attrs.frozen
class NeedsKey:
    key: int


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("sft_config_table", {"key": 1}),
        ("sft_config_table", dict),
        ("sft_config_table", NeedsKey),
        ("sft_transports", 5),
        ("sft_engine", "native"),
        ("sft_dtls_identity", ("certificate", "key")),
        ("sft_srtp_profiles", []),
        ("sft_srtp_profiles", ["SRTP_NULL_NULL"]),
        ("sft_srtp_profiles", "SRTP_AEAD_AES_128_GCM"),
        ("sft_http_routes", [("public", [])]),
    ],
)
def test_an_answer_of_the_wrong_kind_stops_the_start(
    hook: str, answer: object, make_manager: MakeManager
) -> None:
    with pytest.raises(PluginError, match=f"'broken' failed in {hook}"):
        START[hook](make_manager(broken=answers(hook, answer)))


@pytest.mark.parametrize("hook", ["sft_dtls_identity", "sft_srtp_profiles"])
def test_a_question_that_must_be_answered_stops_the_start_when_it_is_not(
    hook: str, make_manager: MakeManager
) -> None:
    with pytest.raises(PluginError, match=f"no plugin answers {hook}"):
        START[hook](make_manager(silent=answers(hook, None)))


def test_good_answers_at_the_start(make_manager: MakeManager) -> None:
    engine = type("NativeEngine", (), {"fan_out": lambda *_: None})()
    manager = make_manager(
        one=answers("sft_dtls_identity", IDENTITY),
        two=answers("sft_srtp_profiles", ["SRTP_AES128_CM_SHA1_80"]),
        three=answers("sft_engine", engine),
    )
    assert manager.dtls_identity() is IDENTITY
    assert manager.srtp_profiles() == ("SRTP_AES128_CM_SHA1_80",)
    assert manager.engine(Config(), services()) is engine
    assert make_manager().engine(Config(), services()) is None


def test_two_transports_of_one_name_stop_the_start(make_manager: MakeManager) -> None:
    class Factory:
        name = "udp"

    manager = make_manager(
        one=answers("sft_transports", [Factory()]), two=answers("sft_transports", [Factory()])
    )
    with pytest.raises(PluginError, match="'two': a transport 'udp' is there already"):
        manager.transports(Config(), services())


# sft_run


async def test_a_task_that_crashes_ends_nothing_but_itself(make_manager: MakeManager) -> None:
    done: list[str] = []
    crashed = trio.Event()

    async def crash() -> None:
        crashed.set()
        raise ZeroDivisionError("on purpose")

    async def work(name: str) -> None:
        await crashed.wait()
        await trio.testing.wait_all_tasks_blocked()
        done.append(name)

    class Crashing:
        @hookimpl
        def sft_run(self, nursery: PluginNursery) -> None:
            nursery.start_soon(crash)
            nursery.start_soon(work, "of the same plugin")

    class Working:
        @hookimpl
        def sft_run(self, nursery: PluginNursery, services: object) -> None:
            nursery.start_soon(work, "of another one")

    manager = make_manager(crashing=Crashing(), broken=fails("sft_run"), working=Working())
    async with trio.open_nursery() as nursery:
        manager.run(nursery, services())
    assert sorted(done) == ["of another one", "of the same plugin"]
    assert manager.faults == {("crashing", "sft_run"): 1, ("broken", "sft_run"): 1}


async def test_tasks_of_plugins_are_cancelled_with_the_process(make_manager: MakeManager) -> None:
    class Forever:
        @hookimpl
        def sft_run(self, nursery: PluginNursery) -> None:
            nursery.start_soon(trio.sleep_forever)

    manager = make_manager(forever=Forever())
    async with trio.open_nursery() as nursery:
        manager.run(nursery, services())
        nursery.cancel_scope.cancel()
    assert not manager.faults


async def test_a_task_that_fails_while_it_is_cancelled_is_only_a_fault(make_manager: MakeManager) -> None:
    async def fail_at_the_end() -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ZeroDivisionError("on purpose")

    class Plugin:
        @hookimpl
        def sft_run(self, nursery: PluginNursery) -> None:
            nursery.start_soon(fail_at_the_end)

    manager = make_manager(one=Plugin())
    async with trio.open_nursery() as nursery:
        manager.run(nursery, services())
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert manager.faults == {("one", "sft_run"): 1}


def test_all_hooks_are_covered_by_a_fault_rule() -> None:
    questions = {"sft_authorize", "sft_key_envelope", "sft_place_call", "sft_order_roster", "sft_run"}
    assert sorted({*START, *NOTIFICATIONS, *questions}) == sorted(PluginManager()._hooks)
