from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import ConfigError
from sft.signalling.versions import ClientVersion, VersionBlockList, offers_simulcast


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("10.3.7", ClientVersion(10, 3, 7)),
        ("10.3.local", ClientVersion(10, 3, 999)),
        ("10.3", ClientVersion(10, 3, -1)),
        ("10", ClientVersion(10, -1, -1)),
        ("10.5.8-rc1", ClientVersion(10, 5, 8)),
        ("10.5.8.1", ClientVersion(10, 5, 8)),
        ("", None),
        ("local", ClientVersion(999, -1, -1)),
        ("x.1.2", None),
        ("\u0661.2.3", None),
    ],
)
def test_versions_are_read_as_clients_write_them(text: str, version: ClientVersion | None) -> None:
    assert ClientVersion.parse(text) == version


@pytest.mark.parametrize(
    ("toolver", "blocked"),
    [
        ("6.2.8", True),
        ("6.2.9", False),
        ("6.2.10", False),
        ("6.2.11", True),
        ("6.2.12", False),
        ("5.9.local", True),
        ("6.2", True),
        ("10.0.0", False),
        ("0.0.0", False),
        ("0.0.local", False),
        ("0.1.0", True),
        ("", False),
        ("unknown", False),
    ],
)
def test_the_block_list_of_the_document(toolver: str, blocked: bool) -> None:
    assert VersionBlockList.parse("<6.2.9, 6.2.11").is_blocked(toolver) is blocked


def test_an_empty_list_blocks_nobody_and_the_highest_bound_counts() -> None:
    assert not VersionBlockList.parse("").is_blocked("1.0.0")
    assert VersionBlockList.parse("<6.2.9,<7.0.0").is_blocked("6.9.9")


@pytest.mark.parametrize("item", ["six", "<", "6", "6.x.1", "<<6.2.9", "6.2.9.1", ">6.2.9"])
def test_an_item_that_is_no_version_is_named(item: str) -> None:
    with pytest.raises(ConfigError, match="is no client version"):
        VersionBlockList.parse(f"6.2.9,{item}")


@pytest.mark.parametrize(
    ("toolver", "offered"),
    [
        ("10.3.7", True),
        ("0.0.0", True),
        ("11", True),
        ("9.9.9", False),
        ("6.2", False),
        ("", False),
        ("x", False),
    ],
)
def test_simulcast_is_offered_to_clients_known_to_send_it(toolver: str, offered: bool) -> None:
    assert offers_simulcast(toolver) is offered


@given(st.text())
def test_any_text_is_a_version_or_none(text: str) -> None:
    ClientVersion.parse(text)
    offers_simulcast(text)
