from __future__ import annotations

from sft.calls.approvals import Approvals, Trusted
from sft.model import ParticipantId

ANN, BOB, CID = (ParticipantId(name, "_") for name in ("ann", "bob", "cid"))


def mutual() -> Approvals:
    approvals = Approvals()
    approvals.replace(ANN, {BOB: Trusted(20, 21)})
    approvals.replace(BOB, {ANN: Trusted(10, 11)})
    return approvals


def test_media_flows_only_when_both_approve() -> None:
    approvals = Approvals()
    approvals.replace(BOB, {ANN: Trusted(10, 11)})
    assert not approvals.audio(ANN, BOB, 10)
    approvals.replace(ANN, {BOB: Trusted(20, 21)})
    assert approvals.audio(ANN, BOB, 10)
    assert approvals.video(ANN, BOB, 11)


def test_media_flows_only_under_the_ssrc_the_receiver_listed() -> None:
    approvals = mutual()
    assert not approvals.audio(ANN, BOB, 99)
    assert not approvals.video(ANN, BOB, 99)
    assert not approvals.audio(ANN, BOB, None)


def test_a_new_list_replaces_the_old_one_and_tells_what_changed() -> None:
    approvals = mutual()
    assert approvals.replace(ANN, {CID: Trusted(30, 31)}) == {BOB, CID}
    assert not approvals.audio(ANN, BOB, 10)
    assert approvals.replace(ANN, {CID: Trusted(30, 31)}) == set()
    assert approvals.replace(ANN, {CID: Trusted(32, 31)}) == {CID}


def test_who_comes_back_has_neither_given_nor_got_any_approval() -> None:
    approvals = mutual()
    approvals.forget(ANN)
    assert not approvals.audio(ANN, BOB, 10)
    assert not approvals.audio(BOB, ANN, 20)
    assert not approvals.approves(BOB, ANN)
