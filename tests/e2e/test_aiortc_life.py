"""The life of a call with aiortc clients: rosters, properties, envelopes, reconnects, every way to leave."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clients import AiortcClient, ClientError, ClientPool, meet, settle
from support.rtp import audio, video
from support.server import Server, running_server
from support.wire import confconn, message, new_id, props

WITHOUT_SILENCE = 0.3
"""Seconds between PINGs of clients at the server that gives up on the silent soon."""


@pytest.fixture(scope="module")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Gives up on participants that are silent for two seconds."""
    with running_server(tmp_path_factory.mktemp("impatient"), timers={"silence_seconds": 2}) as server:
        yield server


def join_all(server: Server, clients: ClientPool, count: int, **options: Any) -> list[AiortcClient]:
    call = new_id()
    everybody = [clients.make() for _ in range(count)]
    for client in everybody:
        client.join(server.url, call, **options)
    meet(*everybody)
    return everybody


def test_everybody_is_told_of_everybody_in_the_order_of_joining(server: Server, clients: ClientPool) -> None:
    everybody = join_all(server, clients, 3)
    for client in everybody:
        newest = client.of_type("CONFPART")[-1]
        assert client.users == [other.user for other in everybody]
        assert [int(client.entry(other)["ssrc_audio"]) for other in everybody] == [
            other.ssrcs["audio"] for other in everybody
        ]
        assert len({client.entry(other)["ssrc_video"] for other in everybody}) == 3
        assert [client.entry(other)["timestamp"] for other in everybody] == [0, 1, 2]
        assert newest["resp"] is False
        assert newest["sfts"] == [server.url]
        assert len(base64.b64decode(newest["entropy"])) == 16
        numbers = [int(part["seqno"]) for part in client.of_type("CONFPART")]
        assert numbers == sorted(set(numbers))


def test_the_first_alone_is_told_to_start_and_only_once(server: Server, clients: ClientPool) -> None:
    first, *others = join_all(server, clients, 3)
    assert [part["should_start"] for part in first.of_type("CONFPART")].count(True) == 1
    assert first.of_type("CONFPART")[0]["should_start"]
    assert not any(part["should_start"] for client in others for part in client.of_type("CONFPART"))


def test_hangup_is_answered_told_to_the_others_and_frees_the_port(
    server: Server, clients: ClientPool
) -> None:
    free = server.ports_free()
    ann, bob, eve = join_all(server, clients, 3)
    assert server.ports_free() == free - 3
    ann.say("HANGUP")
    ann.wait(lambda _: ann.of_type("HANGUP"))
    assert ann.of_type("HANGUP")[0]["resp"] is True
    for client in (bob, eve):
        client.wait(lambda one: one.users == [bob.user, eve.user])
    server.wait(lambda _: server.ports_free() == free - 2)
    bob.send(audio(bob.ssrcs["audio"], 10))
    settle(bob, eve)
    assert len(eve.packets) == 10


def test_a_closed_connection_is_told_to_the_others_at_once(server: Server, clients: ClientPool) -> None:
    ann, bob = join_all(server, clients, 2)
    ann.close()
    bob.wait(lambda _: bob.users == [bob.user], 2)


def test_the_call_ends_with_its_last_participant(server: Server, clients: ClientPool) -> None:
    free, calls = server.ports_free(), server.worker()["load"]["calls"]
    for client in join_all(server, clients, 2):
        client.hangup()
    server.wait(lambda _: server.worker()["load"]["calls"] == calls)
    assert server.ports_free() == free


def test_a_killed_client_is_gone_for_the_others_when_it_was_silent_too_long(
    impatient_server: Server, clients: ClientPool
) -> None:
    free = impatient_server.ports_free()
    ann, bob = join_all(impatient_server, clients, 2, ping_seconds=WITHOUT_SILENCE)
    ann.kill()
    bob.wait(lambda _: bob.users == [bob.user])
    impatient_server.wait(lambda _: impatient_server.ports_free() == free - 1)
    assert not bob.closed


@pytest.mark.nightly
def test_with_the_default_timers_a_killed_client_is_gone_within_20_seconds(
    server: Server, clients: ClientPool
) -> None:
    ann, bob = join_all(server, clients, 2)
    ann.kill()
    bob.wait(lambda _: bob.users == [bob.user], 20)


def test_who_sends_nothing_but_media_stays(impatient_server: Server, clients: ClientPool) -> None:
    ann, bob = join_all(impatient_server, clients, 2, ping_seconds=WITHOUT_SILENCE)
    ann.ask("stop_pinging")
    ann.send(audio(ann.ssrcs["audio"], 150), rate=50)  # three seconds
    settle(ann, bob)
    assert len(bob.packets) == 150
    assert ann.user in bob.users


def test_an_update_exchanges_the_connection_and_media_goes_on(server: Server, clients: ClientPool) -> None:
    free = server.ports_free()
    ann, bob = join_all(server, clients, 2)
    before = {client: ann.entry(client) for client in (ann, bob)}
    reply = ann.update()
    assert reply["body"]["type"] == "UPDATE"
    assert "url" not in reply["body"]
    for client in (ann, bob):
        client.wait(lambda one: one.users == [bob.user, ann.user])  # who comes back comes last
    meet(ann, bob)
    assert int(bob.entry(ann)["ssrc_audio"]) == ann.ssrcs["audio"] != int(before[ann]["ssrc_audio"])
    assert bob.entry(ann)["ssrc_video"] == before[ann]["ssrc_video"]
    assert bob.entry(ann)["timestamp"] > before[bob]["timestamp"]
    bob.look((ann, 0))
    ann.look((bob, 0))
    for client in (ann, bob):
        client.send(video(client.ssrcs["video"], 5))
        client.send(audio(client.ssrcs["audio"], 10))
    settle(ann, bob)
    assert len(ann.packets) == len(bob.packets) == 25
    server.wait(lambda _: server.ports_free() == free - 2)
    assert not any(part["should_start"] for part in ann.of_type("CONFPART")[-1:])


def test_an_update_of_somebody_unknown_joins_and_is_told_the_url(server: Server, clients: ClientPool) -> None:
    call = new_id()
    ann = clients.make()
    reply = ann.join(server.url, call, update=True)
    assert reply["body"]["type"] == "UPDATE"
    assert reply["body"]["url"] == server.url
    ann.wait(lambda _: ann.users == [ann.user])
    assert not any(part["should_start"] for part in ann.of_type("CONFPART"))


def test_who_joins_again_takes_its_own_place(server: Server, clients: ClientPool) -> None:
    free = server.ports_free()
    call = new_id()
    ann, again, bob = clients.make(), clients.make(), clients.make()
    ann.join(server.url, call)
    bob.join(server.url, call)
    meet(ann, bob)
    again.join(server.url, call, user=ann.user)
    bob.wait(lambda _: bob.users == [bob.user, again.user])
    ann.wait(lambda _: ann.closed)
    server.wait(lambda _: server.ports_free() == free - 2)


def test_properties_are_relayed_whole_in_the_name_of_their_owner(server: Server, clients: ClientPool) -> None:
    ann, bob = join_all(server, clients, 2)
    told = props(muted="true", keysync="7", unheard_of="yes")
    ann.say("PROPSYNC", props=told)
    bob.wait(lambda _: bob.of_type("PROPSYNC"))
    (relayed,) = bob.of_type("PROPSYNC")
    assert relayed["props"] == told
    assert (relayed["src_userid"], relayed["src_clientid"]) == (ann.user, "_")
    assert relayed["resp"] is True
    eve = clients.make()
    eve.join(server.url, ann.call)
    meet(ann, bob, eve)
    eve.wait(lambda _: eve.of_type("PROPSYNC"))
    assert eve.of_type("PROPSYNC")[0]["props"] == told  # who is newly trusted learns them
    assert eve.entry(ann)["muted"] is True
    assert not ann.of_type("PROPSYNC")


def test_properties_reach_only_those_their_owner_trusts(server: Server, clients: ClientPool) -> None:
    call = new_id()
    ann, bob = clients.make(), clients.make()
    ann.join(server.url, call, approve=False)
    bob.join(server.url, call)
    ann.wait(lambda _: bob.user in ann.users)
    bob.wait(lambda _: ann.user in bob.approved)
    settle(ann, bob)
    ann.say("PROPSYNC", props=props())
    settle(ann, bob)
    assert not bob.of_type("PROPSYNC")
    ann.approve(bob)
    bob.wait(lambda _: bob.of_type("PROPSYNC"))


def test_key_envelopes_are_carried_between_those_who_speak_them(server: Server, clients: ClientPool) -> None:
    ann, bob, eve = join_all(server, clients, 3)
    envelopes = {client: base64.b64encode(client.user.encode()).decode() for client in (ann, bob)}
    ann.say("KEYENVELOPE", recipients=[], envelope=envelopes[ann])
    settle(ann, bob, eve)
    assert not bob.of_type("KEYENVELOPE")
    bob.say("KEYENVELOPE", recipients=[], envelope=envelopes[bob])
    for receiver, sender in ((bob, ann), (ann, bob)):
        receiver.wait(lambda one: one.of_type("KEYENVELOPE"))
        (carried,) = receiver.of_type("KEYENVELOPE")
        assert carried["envelope"] == envelopes[sender]
        assert (carried["src_userid"], carried["src_clientid"]) == (sender.user, "_")
        assert carried["resp"] is True
    settle(ann, bob, eve)
    assert not eve.of_type("KEYENVELOPE")


def test_nonsense_on_the_data_channel_is_counted_and_harms_nobody(
    server: Server, clients: ClientPool
) -> None:
    ann, bob = join_all(server, clients, 2)
    before = server.worker()["drops"]
    for text in ("{", "[]", '{"version":"3.0"}', "\u0000" * 100, "x" * 60_000):
        ann.say_text(text)
    ann.say("CONFCONN")
    ann.say("SETUP", resp=True, sdp="", props={})
    settle(ann, bob)
    server.wait(lambda _: server.worker()["drops"]["message_malformed"] - before["message_malformed"] == 5)
    server.wait(lambda _: server.worker()["drops"]["message_unexpected"] - before["message_unexpected"] == 2)
    assert ann.users == bob.users == [ann.user, bob.user]


def test_an_answer_that_is_none_is_refused_and_the_call_goes_on(server: Server, clients: ClientPool) -> None:
    ann, bob = join_all(server, clients, 2)
    user = new_id()
    path = f"/sft/{ann.call}"
    assert server.post_json(path, confconn(ann.call, user)).json()["type"] == "SETUP"
    for sdp in ("", "v=0\r\n", ann.offer["sdp"][:200]):
        answer = message("SETUP", ann.call, user, resp=True, sdp=sdp, props=props())
        assert server.post_json(path, answer).status == 400
    stranger = message("SETUP", ann.call, new_id(), resp=True, sdp="v=0\r\n", props=props())
    assert server.post_json(path, stranger).status == 400
    settle(ann, bob)


def test_draining_lets_live_calls_end_in_peace(tmp_path: Path, clients: ClientPool) -> None:
    with running_server(tmp_path, ends=True) as server:
        ann, bob = clients.make(), clients.make()
        call = new_id()
        ann.join(server.url, call)
        server.signal(signal.SIGTERM)
        server.wait(lambda _: server.get("/sft/status").body.startswith(b"draining"))
        refused = server.post_json("/sft/x", confconn("x", new_id()))
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert bob.join(server.url, call)["status"] == 200  # late joiners of live calls are admitted
        meet(ann, bob)
        ann.hangup()
        bob.wait(lambda _: bob.users == [bob.user])
        bob.hangup()
        assert server.wait_for_end() == 0


def test_a_server_that_is_stopped_tells_no_client(tmp_path: Path, clients: ClientPool) -> None:
    with running_server(tmp_path) as server:
        ann = clients.make()
        ann.join(server.url, new_id())
        ann.wait(lambda _: ann.roster)
    ann.ask("stop_pinging")  # when it answers, it has read what came
    assert not ann.of_type("HANGUP")
    assert not ann.closed
    with pytest.raises(ClientError, match="Connection refused"):
        ann.update()
