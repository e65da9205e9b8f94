from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.signalling.credentials import SharedSecret, Verdict, make_credentials
from sft.signalling.messages import Status

SECRET = SharedSecret(b"not-a-real-secret")
NOW = 1_800_000_000.0
LATER = 1_900_000_000


def judge(username: str, credential: str, *, starting: bool = True, wall: float = NOW) -> Verdict:
    return SECRET.check(username, credential, starting=starting, wall=wall)


def test_the_example_of_the_document_is_accepted() -> None:
    username = "d=1900000000.v=1.k=0.s=1.r=abcdefghij"
    credential = "vEhnQeoc2v5GgLWI1cwMfyAfVdBzrU5vbl0Iu/gb481HacVxCEU88UYRxtZrUh4jV2BkPH3ZO8fsP/roVwZsbw=="
    assert judge(username, credential) is Verdict.ACCEPTED
    assert make_credentials(SECRET, expires=LATER, may_start=True, opaque="abcdefghij") == (
        username,
        credential,
    )


@pytest.mark.parametrize("starting", [True, False])
def test_one_who_may_only_join_may_not_start(starting: bool) -> None:
    verdict = judge(*make_credentials(SECRET, expires=LATER, may_start=False), starting=starting)
    assert verdict is (Verdict.MAY_NOT_START if starting else Verdict.ACCEPTED)


def test_expiry_is_after_the_last_second() -> None:
    credentials = make_credentials(SECRET, expires=LATER, may_start=True)
    assert judge(*credentials, wall=LATER) is Verdict.ACCEPTED
    assert judge(*credentials, wall=LATER + 0.5) is Verdict.EXPIRED


def test_an_expired_username_with_a_wrong_credential_is_invalid() -> None:
    username, _ = make_credentials(SECRET, expires=1, may_start=True)
    assert judge(username, "") is Verdict.INVALID


@pytest.mark.parametrize(
    "username", ["prefix:d=1900000000.v=1.k=0.s=1.r=a/suffix", "D=1900000000.V=1.K=12.S=1.R="]
)
def test_the_pattern_may_stand_anywhere_and_in_any_case(username: str) -> None:
    assert judge(username, SECRET.sign(username)) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    "username",
    [
        "",
        "d=.v=1.k=0.s=1.r=a",
        "d=1900000000.v=2.k=0.s=1.r=a",
        "d=1900000000.v=1.k=0.s=2.r=a",
        "d=1900000000.v=1.k=0.\u017f=1.r=a",
        "d=\u0661.v=1.k=0.s=1.r=a",
        f"d={'9' * 5000}.v=1.k=0.s=1.r=a",
    ],
)
def test_a_username_that_does_not_fit_is_invalid_even_if_signed(username: str) -> None:
    assert judge(username, SECRET.sign(username)) is Verdict.INVALID


def test_a_credential_under_another_secret_is_invalid() -> None:
    assert judge(*make_credentials(SharedSecret(b"other"), expires=LATER, may_start=True)) is Verdict.INVALID


@given(st.text() | st.just("\ud800"), st.text() | st.just("ä" * 88) | st.just("\udfff"))
def test_nothing_a_client_shows_raises_or_passes(username: str, credential: str) -> None:
    assert judge(username, credential) is Verdict.INVALID


def test_verdicts_are_what_confconn_says() -> None:
    assert [verdict.status for verdict in Verdict] == [
        Status.OK,
        Status.CREDENTIALS_INVALID,
        Status.CREDENTIALS_EXPIRED,
        Status.MAY_NOT_START,
    ]


def test_the_secret_is_the_first_word_of_its_file_and_does_not_show() -> None:
    secret = SharedSecret.from_text("\n  not-a-real-secret a comment\n")
    assert secret == SECRET
    assert "not-a-real" not in repr(secret)
    assert len(SharedSecret.from_text("x" * 300).value) == 255
    with pytest.raises(ValueError, match="empty"):
        SharedSecret.from_text(" \n")
