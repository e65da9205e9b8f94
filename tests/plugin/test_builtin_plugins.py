"""The plugins that are always there."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import pytest
import structlog

from sft.config import Config, parse_config
from sft.errors import ConfigError
from sft.model import ParticipantId, PathKind, WorkerLoad
from sft.plugin import AuthRequest, DrainState, PlacementRequest, Status
from sft.plugin.builtin.placement import least_loaded
from sft.plugin.builtin.srtp import PROFILES
from sft.plugin.manager import PluginManager
from sft.signalling.credentials import SharedSecret, make_credentials

SECRET = "not-a-real-secret"
REQUEST = AuthRequest(
    call="c", user="u", client="1", username="", credential="", starting=True, address="::1", toolver=""
)


def with_credentials(expires: float, may_start: bool = True, secret: str = SECRET) -> AuthRequest:
    username, credential = make_credentials(
        SharedSecret.from_text(secret), expires=int(expires), may_start=may_start
    )
    return attrs.evolve(REQUEST, username=username, credential=credential)


@pytest.fixture
def guarded(builtin_manager: PluginManager, tmp_path: Path) -> PluginManager:
    """sft_configure has read a secret."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    builtin_manager.configure(parse_config('[credentials]\nsecret_file = "secret"', tmp_path / "sft.toml"))
    return builtin_manager


def test_without_a_secret_everybody_may_join(builtin_manager: PluginManager) -> None:
    builtin_manager.configure(Config())
    assert builtin_manager.authorize(REQUEST).allowed


def test_good_credentials_are_accepted(guarded: PluginManager) -> None:
    assert guarded.authorize(with_credentials(time.time() + 60)).allowed


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (REQUEST, Status.CREDENTIALS_INVALID),
        (with_credentials(2**40, secret="another"), Status.CREDENTIALS_INVALID),
        (attrs.evolve(REQUEST, username="d=9.v=1.k=0.s=1.r=a"), Status.CREDENTIALS_INVALID),
        (with_credentials(1), Status.CREDENTIALS_EXPIRED),
        (with_credentials(2**40, may_start=False), Status.MAY_NOT_START),
    ],
    ids=["none", "wrong secret", "no credential", "expired", "may not start"],
)
def test_others_are_refused_with_their_status(
    request_: AuthRequest, status: Status, guarded: PluginManager
) -> None:
    assert guarded.authorize(request_).status is status


def test_who_may_not_start_may_join(guarded: PluginManager) -> None:
    joining = attrs.evolve(with_credentials(2**40, may_start=False), starting=False)
    assert guarded.authorize(joining).allowed


def test_credentials_can_be_optional_but_wrong_ones_are_refused(
    builtin_manager: PluginManager, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    toml = '[credentials]\nsecret_file = "secret"\nrequired = false'
    builtin_manager.configure(parse_config(toml, tmp_path / "sft.toml"))
    assert builtin_manager.authorize(REQUEST).allowed
    assert not builtin_manager.authorize(with_credentials(2**40, secret="another")).allowed


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_secret_that_cannot_be_used_stops_the_start(
    content: str | None, builtin_manager: PluginManager, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(ConfigError, match=r"sft\.toml: credentials\.secret_file: .*secret cannot be used"):
        builtin_manager.configure(
            parse_config('[credentials]\nsecret_file = "secret"', tmp_path / "sft.toml")
        )


def test_each_process_has_a_certificate_of_its_own(builtin_manager: PluginManager) -> None:
    first, second = builtin_manager.dtls_identity(), builtin_manager.dtls_identity()
    assert first.fingerprint != second.fingerprint
    assert len(first.fingerprint) == 32 * 3 - 1


def test_the_profiles_are_those_the_engine_has_fastest_first(builtin_manager: PluginManager) -> None:
    from sft.webrtc import srtp

    assert builtin_manager.srtp_profiles() == PROFILES == tuple(srtp.PROFILES)


def load(worker: int, **load: float) -> WorkerLoad:
    return WorkerLoad(worker, **{"free_ports": 100, **load})  # type: ignore[arg-type]  # some are integers


@pytest.mark.parametrize(
    ("workers", "chosen"),
    [
        ([load(0), load(1)], 0),
        ([load(0, packets_per_second=5000), load(1, packets_per_second=100)], 1),
        ([load(0, participants=10), load(1, packets_per_second=400)], 1),
        ([load(0, calls=3), load(1, calls=2)], 1),
        ([load(0, loop_lag=0.2), load(1, packets_per_second=9000)], 1),
        ([load(0, free_ports=0), load(1, packets_per_second=9000, loop_lag=0.2)], 1),
        ([load(4, free_ports=0)], 4),
    ],
    ids=["first", "traffic", "newcomers", "calls", "late loop", "no ports", "better than nobody"],
)
def test_a_new_call_goes_to_the_least_loaded_worker(
    workers: list[WorkerLoad], chosen: int, builtin_manager: PluginManager
) -> None:
    request = PlacementRequest(call="c", user="u", client="1", address="::1")
    assert least_loaded(workers) == chosen
    assert builtin_manager.place_call(request, workers) == chosen


def test_the_life_of_calls_is_logged(builtin_manager: PluginManager) -> None:
    who = ParticipantId("user-one-two", "3")
    path = PathKind("udp", "host", "prflx")
    with structlog.testing.capture_logs() as logs:
        builtin_manager.notify("sft_call_started", call="c")
        builtin_manager.notify("sft_participant_joined", call="c", participant=who)
        builtin_manager.notify(
            "sft_participant_left", call="c", participant=who, reason="hangup", detail="", path=path
        )
        builtin_manager.notify("sft_call_ended", call="c", reason="empty")
        builtin_manager.notify("sft_draining", state=DrainState.DRAINING)
    assert [line["event"] for line in logs] == [
        "call_started",
        "participant_joined",
        "participant_left",
        "call_ended",
        "draining",
    ]
    assert [line.get("path") for line in logs] == [None, None, str(path), None, None]
    assert not builtin_manager.faults


def test_builtin_plugins_can_be_replaced(tmp_path: Path) -> None:
    manager = PluginManager.load(parse_config('[plugins]\nallow = []\nblock = ["log", "dtls"]'))
    assert [one.name for one in manager.describe()] == [
        "credentials",
        "live",
        "placement",
        "srtp",
        "webclient",
    ]


def test_a_secret_is_read_anew_and_the_old_one_kept_if_there_is_none(
    guarded: PluginManager, tmp_path: Path
) -> None:
    config = parse_config('[credentials]\nsecret_file = "secret"', tmp_path / "sft.toml")
    old, new = with_credentials(2**40), with_credentials(2**40, secret="another")
    (tmp_path / "secret").write_text("another")
    guarded.notify("sft_reload", config=config)
    assert [guarded.authorize(one).allowed for one in (old, new)] == [False, True]
    (tmp_path / "secret").unlink()
    with structlog.testing.capture_logs() as lines:
        guarded.notify("sft_reload", config=config)
    assert [line["event"] for line in lines] == ["secret_kept"]
    assert [guarded.authorize(one).allowed for one in (old, new)] == [False, True]
    assert not guarded.faults
