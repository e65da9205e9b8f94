from __future__ import annotations

import json

from sft.model import ParticipantId
from sft.signalling import replies
from sft.signalling.entries import Part
from sft.signalling.messages import Message, Status, encode

CALL = "f84706786fe0230de2d176c6aa9e4df1"
A = ParticipantId("b99660622aa6b0067dbbfd28f467e7cb", "_")
FROM_SERVER = {"src_userid": "sft", "src_clientid": "_"}
TO_A = {"dest_userid": A.user, "dest_clientid": "_"}


def own(message: Message) -> dict[str, object]:
    return json.loads(encode(message))


def test_the_acknowledgement_is_the_one_of_the_document() -> None:
    assert encode(replies.confconn_ack(CALL)) == (
        '{"version":"3.0","type":"CONFCONN","sessid":"f84706786fe0230de2d176c6aa9e4df1",'
        '"src_userid":"sft","src_clientid":"sft","resp":true,"update":false,"tool":"","toolver":"",'
        '"status":0,"selective_audio":false,"selective_video":false,"vstreams":0}'
    )


def test_a_refusal_names_nobody_and_is_no_response() -> None:
    refusal = own(replies.confconn_refusal(CALL, Status.CREDENTIALS_EXPIRED))
    assert (refusal["resp"], refusal["status"]) == (False, 3)
    assert not any(key.startswith(("src_", "dest_")) for key in refusal)


def test_an_offer_carries_props_and_url_and_comes_from_sft() -> None:
    assert own(replies.setup_offer(CALL, "v=0\r\n", "https://sft.example/")) == {
        "version": "3.0",
        "type": "SETUP",
        "sessid": CALL,
        **FROM_SERVER,
        "resp": False,
        "sdp": "v=0\r\n",
        "props": {"videosend": "false", "screensend": "false", "audiocbr": "false", "muted": "false"},
        "url": "https://sft.example/",
    }


def test_an_update_names_its_receiver_and_has_a_url_only_if_told() -> None:
    update = own(replies.update_offer(CALL, A, "v=0\r\n"))
    assert update.items() >= {"type": "UPDATE", "resp": False, **FROM_SERVER, **TO_A}.items()
    assert "url" not in update
    assert own(replies.update_offer(CALL, A, "v=0\r\n", "u"))["url"] == "u"


def test_short_messages_name_server_and_receiver() -> None:
    assert own(replies.cancel(CALL)).items() >= {"type": "CANCEL", "resp": False, **FROM_SERVER}.items()
    assert own(replies.pong(CALL, A)).items() >= {"type": "PING", "resp": True, **FROM_SERVER, **TO_A}.items()
    for resp in (True, False):
        hangup = own(replies.hangup(CALL, A, resp=resp))
        assert hangup.items() >= {"type": "HANGUP", "resp": resp, **FROM_SERVER, **TO_A}.items()


def test_relayed_messages_speak_in_the_name_of_their_origin() -> None:
    assert encode(replies.propsync_relay(A, {"muted": "true", "later": "x"})) == (
        '{"version":"3.0","type":"PROPSYNC","sessid":"","src_userid":"b99660622aa6b0067dbbfd28f467e7cb",'
        '"src_clientid":"_","resp":true,"props":{"muted":"true","later":"x"}}'
    )
    assert own(replies.key_envelope_relay(CALL, A, "AAAA")) == {
        "version": "3.0",
        "type": "KEYENVELOPE",
        "sessid": CALL,
        "src_userid": A.user,
        "src_clientid": "_",
        "resp": True,
        "envelope": "AAAA",
    }


def test_the_list_of_participants_is_the_one_of_the_document() -> None:
    message = replies.confpart_list(
        [Part(A.user, "_", 3001001, 901, timestamp=0, muted=False)],
        should_start=True,
        timestamp=1765000000123,
        seqno=42,
        entropy=bytes.fromhex("deadbeef000102030405060708090a0b"),
        sfts=["https://sft.example.net/sfts/sft-2"],
    )
    assert encode(message) == (
        '{"version":"3.0","type":"CONFPART","sessid":"","resp":false,"should_start":true,'
        '"timestamp":"1765000000123","seqno":"42","entropy":"3q2+7wABAgMEBQYHCAkKCw==",'
        '"participants":[{"userid":"b99660622aa6b0067dbbfd28f467e7cb","clientid":"_","authorized":false,'
        '"ssrc_audio":"3001001","ssrc_video":"901","timestamp":0,"muted":false}],'
        '"sfts":["https://sft.example.net/sfts/sft-2"]}'
    )
