from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from sft.errors import BadPacket, LocalError
from sft.model import Drop, DtlsIdentity
from sft.webrtc.dtls import MTU, DtlsContext, DtlsSession, _split, generate_identity, matches

NOW = 50.0

# Chromium's, with a post-quantum key share: one message, two records, two datagrams.
CHROME_CLIENT_HELLO = (
    bytes.fromhex(
        "16feff000000000000000004a3010005850000000000000497fefd3f1351bfc66690cc252aa3f14c044d0fd2d4425ab1"
        "cc995551852937e6434a980000001c130113021303c02bc02fcca9cca8c009c013c00ac014009c002f00350100053f00"
        "170000002d00020101000b00020100000d00140012040308040401050308050501080606010201003304ea04e811ec04"
        "c038d0a42a647ffaa1bac22a2b9ad3bc02b0c872c90c81fb1bdae7239ca143db3345d216cc9f2b5904b089e3902ec9d0"
        "ab48d97db9324a24c86881fca4a9a90d2251370d46a6a5b9a4eb9855582881018295eed0571f457c350b773dd51be415"
        "7983f85470e93db0727461388c58192c5f0a6dcec20f4234ce6064cd6567970153c2ce997f798681b897b54d99b5baa1"
        "0715f2a5c1840bf162bc9a7710d6a82493d2641e7257a9e88ab058c46be555dc0bb8aed33f52b13fce361966cc9eaa4a"
        "8e6f587b344891acd0274f2a01d4a1a303fa5fd2744efe0639e58c847898b9bb1160e5a56f656319dff08c6e24802a1a"
        "1606673537c6ade78627d236418144b84d99a792814ab9abba39b27a364578d0c2765ef0a04f012541ec03bf75cd0795"
        "2a8ebb1fc5a360235c8546e676db64ace0916080fbc1c16c4b43fb4032a373c35aaa026a2e4a162352e23a11ebcc1c2c"
        "2881b5c84c17c1eda08e118071f281cbb13c5ce6a74b2614736548b2bb1b2425444fbf722e08472d276668e5ba4e94f0"
        "179430b862da33efac15d7b7c4a164c9dd89ad54506ca2660c2a8a3229814ab560a5be00c01e1cbf3976a43406840f41"
        "4c89ea5c6e73411c837d7d3bab04e7bb7341935e79bcb3515d8e570b5fc12549164f91a2c18653662db4b948945e76b9"
        "91aae24160a82ec875a906e1cd15433ec4d582ac50cfc6947ea9963495c19b55b29f01605fce63ad8d855030348b2b58"
        "b0cb0648f0094c1bc9499a101e746ab3e1d210d8aabde5f5351116cffdb21a46820b48e39f9b3bac7655b186b056f386"
        "7ed6e515b5ba3c2cb37ab0d1249bdc5f9858a6896091fa93b04b71178bc84fcd44b71f2659f9c0c5583673d37a5f15b9"
        "02104ab7c75585ba2644f0a861f2c30915e70987a604223c5f84e3bd2cbc3f9b6a53384cb69bf11af116aeae50c5100a"
        "b37603243d8c08e04cac005b0f28ea711389950a383ac75789dd698b86c20f4833644f809b7abb899b43a31715bf73b1"
        "ce77104f61a96a075a986733b95ea5733b443bf37a676e0665098bb7743b59aa69562842c266a562597329b0b8aba0f4"
        "02c8230c8816cd94b49f3d192f4959a2d9400d5240693b501f8c167f69f170bc4660f9d10cf57719290b5ad11392ea75"
        "53b9d900bda00422864d1ad49b06465131b6a5f515cff00a8f3dcc6189d58ca77baf38598cb4a4903d3403332bbba582"
        "8bf83027061b22b26cbed4a63319bb5c8453561475a8e14a5bd3cba0f6037305446dd6f135207781f8b98b6951695be9"
        "88fff3123bebaacfe9caec0837776086c8838fe0e431dfc9323c219042e41306727694254c317c0e1cf44052934c27fb"
        "7e052853d9f13babc01695fb6030bacab1fb10d4a0278a72220d978da4092672f7be9b2671b6391336402df9aaca51a6"
        "1581157d72cb1c056c146871438c31ba69d46533582fed23272444c0d219544ddc292be403cdf95051673a0dc361a4a9"
    ),
    bytes.fromhex(
        "16feff000000000000000100fa0100058500000004970000eebd5c423bf316b951051f92da9879c69f158870743a14bf"
        "d198a3771e46a36e81ca2047d38f5cb55b3d33965c9625cef232b516bd75b6342880cedd64907e166949c48b0b7893b1"
        "116140f0a129844db55c0410106a59b050aab627d87789bfb1046b98ae95b366b0c23b90fbc619d82e6a495c6d81a0ab"
        "7253a6e51f9a1fb64f92ee13ca2a11eabc6fd17cc45429bdc33baa51e12b7edcec4bf479116a55a47e79001d0020f316"
        "e601bd8c866f6db6751876f3353768bfa4ce53ad05b3b4e3e2d810f24179000e0009000600010008000700ff01000100"
        "000a000a000811ec001d00170018002b000504fefcfefd"
    ),
)


class Pair:
    """A server and a client session, and what is between them."""

    def __init__(self, contexts: Any, *, trust: bool = True) -> None:
        self.server = DtlsSession(contexts[0], is_server=True)
        self.client = DtlsSession(contexts[1], is_server=False)
        self.client.set_fingerprints([("sha-256", contexts[0].identity.fingerprint)])
        self.client_fingerprint = ("sha-256", contexts[1].identity.fingerprint)
        if trust:
            self.server.set_fingerprints([self.client_fingerprint])
        self.carried = 0
        self.faults: list[BadPacket] = []

    def pump(self, lose: Callable[[int], bool] = lambda number: False, now: float = NOW) -> None:
        while True:
            up, down = self.client.datagrams(), self.server.datagrams()
            if not up and not down:
                return
            for receiver, datagrams in ((self.server, up), (self.client, down)):
                for data in datagrams:
                    assert len(data) <= MTU
                    self.carried += 1
                    if not lose(self.carried - 1):
                        self.give(receiver, data, now)

    def give(self, receiver: DtlsSession, data: bytes, now: float = NOW) -> None:
        try:
            receiver.receive_untrusted(data, now)
        except BadPacket as fault:
            self.faults.append(fault)

    def handshake(self) -> None:
        self.client.start(NOW)
        self.pump()


@pytest.fixture
def pair(contexts: Any) -> Pair:
    return Pair(contexts)


def make_record(kind: int, epoch: int, number: int, body: bytes) -> bytes:
    head = bytes([kind, 254, 253]) + epoch.to_bytes(2, "big") + number.to_bytes(6, "big")
    return head + len(body).to_bytes(2, "big") + body


def load_certificate(identity: DtlsIdentity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.certificate_pem)


def load_key(identity: DtlsIdentity) -> Any:
    return serialization.load_pem_private_key(identity.key_pem, None)


def fingerprint_of(identity: Any, algorithm: hashes.HashAlgorithm) -> str:
    return load_certificate(identity).fingerprint(algorithm).hex(":").upper()


def test_both_sides_derive_the_same_keys(pair: Pair) -> None:
    pair.handshake()
    assert pair.server.srtp is not None
    assert pair.client.srtp is not None
    assert pair.server.srtp.profile == "SRTP_AEAD_AES_128_GCM"
    assert pair.server.srtp.inbound == pair.client.srtp.outbound
    assert pair.server.srtp.outbound == pair.client.srtp.inbound
    assert len(pair.server.srtp.inbound) == 28
    assert pair.server.deadline is None
    assert pair.client.deadline is None
    assert pair.server.last_alive == NOW


def test_the_server_takes_the_first_of_its_profiles(contexts: Any) -> None:
    wanted = "SRTP_AES128_CM_SHA1_80", "SRTP_AEAD_AES_256_GCM"
    pair = Pair((DtlsContext(contexts[0].identity, wanted), contexts[1]))
    pair.handshake()
    assert pair.server.srtp is not None
    assert pair.server.srtp.profile == "SRTP_AES128_CM_SHA1_80"
    assert len(pair.server.srtp.inbound) == 30


def test_application_data_goes_both_ways(pair: Pair) -> None:
    pair.handshake()
    pair.client.send(b"up")
    pair.server.send(b"down")
    pair.pump()
    assert pair.server.received() == [b"up"]
    assert pair.client.received() == [b"down"]
    assert pair.server.received() == []


def test_nothing_is_sent_before_the_handshake(pair: Pair) -> None:
    with pytest.raises(LocalError):
        pair.server.send(b"too early")


def test_nothing_is_delivered_before_the_fingerprint_is_known(contexts: Any) -> None:
    pair = Pair(contexts, trust=False)
    pair.handshake()
    pair.client.send(b"early")
    pair.pump()
    assert pair.server.srtp is None
    assert pair.server.received() == []
    pair.server.set_fingerprints([pair.client_fingerprint])
    assert pair.server.srtp is not None
    assert pair.server.received() == [b"early"]


def test_what_is_held_back_is_bounded(contexts: Any) -> None:
    pair = Pair(contexts, trust=False)
    pair.handshake()
    for _ in range(1000):
        pair.client.send(b"early")
    pair.pump()
    pair.server.set_fingerprints([pair.client_fingerprint])
    assert len(pair.server.received()) <= 16


def test_another_certificate_than_announced_ends_it(contexts: Any) -> None:
    pair = Pair(contexts, trust=False)
    pair.server.set_fingerprints([("sha-256", contexts[0].identity.fingerprint)])
    pair.handshake()
    assert pair.server.closed is not None
    assert pair.server.srtp is None
    assert [fault.reason for fault in pair.faults] == [Drop.DTLS_FINGERPRINT]


def test_another_certificate_than_announced_ends_it_when_the_answer_is_late(contexts: Any) -> None:
    pair = Pair(contexts, trust=False)
    pair.handshake()
    pair.client.send(b"secret")
    pair.pump()
    pair.server.set_fingerprints([("sha-256", contexts[0].identity.fingerprint)])
    assert pair.server.closed is not None
    assert pair.server.received() == []


def test_fingerprints_of_all_hashes_are_known_and_the_strongest_decides(contexts: Any) -> None:
    identity, other = contexts[0].identity, contexts[1].identity
    certificate = load_certificate(identity)
    good = ("sha-256", identity.fingerprint)
    bad = ("sha-256", other.fingerprint)
    assert matches(certificate, [good])
    assert matches(certificate, [bad, good]), "several certificates may be announced"
    assert matches(certificate, [("sha-384", fingerprint_of(identity, hashes.SHA384()))])
    assert matches(certificate, [("sha-512", fingerprint_of(identity, hashes.SHA512())), bad])
    assert not matches(certificate, [good, ("sha-512", fingerprint_of(other, hashes.SHA512()))])
    assert not matches(certificate, [("sha-1", fingerprint_of(identity, hashes.SHA1()))])
    assert not matches(certificate, [("sha-256", "\udcff not even text")])
    assert not matches(certificate, [])


def test_a_client_hello_split_over_two_records_and_datagrams_is_put_together(contexts: Any) -> None:
    server = DtlsSession(contexts[0], is_server=True)
    for data in CHROME_CLIENT_HELLO:
        assert server.datagrams() == []
        server.receive_untrusted(data, NOW)
    flight = b"".join(server.datagrams())
    assert flight[0] == 22, "a handshake record"
    assert flight[13] == 2, "the ServerHello"


def test_a_flight_is_cut_at_record_borders(contexts: Any) -> None:
    many = [(i, b"x" * 500) for i in range(6)]
    flight = b"".join(
        bytes([22, 254, 253, 0, 0]) + n.to_bytes(6, "big") + b"\x01\xf4" + body for n, body in many
    )

    parts = list(_split(flight))
    assert [len(part) for part in parts] == [1026, 1026, 1026]
    assert b"".join(parts) == flight


def test_handshakes_survive_the_loss_of_any_datagram(contexts: Any) -> None:
    # OpenSSL's retransmission timer (1 s) has a clock of its own, so this test lets real time pass;
    # all cases wait for it together.
    pairs = [Pair(contexts) for _ in range(6)]
    for lost, pair in enumerate(pairs):
        pair.client.start(time.monotonic())
        pair.pump(lambda number, lost=lost: number == lost, time.monotonic())  # type: ignore[misc]
    assert any(pair.server.srtp is None for pair in pairs)
    for _ in range(4):
        sessions = [session for pair in pairs for session in (pair.server, pair.client)]
        deadlines = [session.deadline for session in sessions if session.deadline is not None]
        if not deadlines:
            break
        time.sleep(max(0.0, max(deadlines) - time.monotonic()) + 0.01)
        for pair in pairs:
            pair.server.handle_timeout(time.monotonic())
            pair.client.handle_timeout(time.monotonic())
            pair.pump(now=time.monotonic())
    assert all(pair.server.srtp is not None and pair.client.srtp is not None for pair in pairs)


def test_a_timeout_that_is_not_due_does_nothing(pair: Pair) -> None:
    pair.client.start(NOW)
    pair.client.datagrams()
    assert pair.client.deadline is not None
    pair.client.handle_timeout(NOW + 0.1)
    assert pair.client.datagrams() == []


@pytest.mark.parametrize("closing", ["server", "client"])
def test_close_notify_ends_the_other_side(pair: Pair, closing: str) -> None:
    pair.handshake()
    here, there = (pair.server, pair.client) if closing == "server" else (pair.client, pair.server)
    here.close()
    here.close()
    pair.pump()
    assert here.closed == "closed by us"
    assert there.closed == "DTLS close_notify"
    with pytest.raises(LocalError):
        there.send(b"too late")


def test_a_broken_handshake_is_forgotten_and_the_next_client_hello_begins_another(pair: Pair) -> None:
    pair.client.start(NOW)
    forged = bytes.fromhex("16fefd0000000000000000000c0b00000000000000000000 00".replace(" ", ""))
    pair.give(pair.server, forged)
    assert pair.server.closed is None
    pair.pump()
    assert pair.server.srtp is not None


def test_a_client_without_srtp_is_refused(contexts: Any) -> None:
    context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    identity = contexts[1].identity
    context.use_certificate(load_certificate(identity))
    context.use_privatekey(load_key(identity))
    pair = Pair(contexts)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    client.set_ciphertext_mtu(1200)
    for _ in range(4):
        try:
            client.do_handshake()
        except SSL.WantReadError:
            pass
        try:
            pair.give(pair.server, client.bio_read(4096))
        except SSL.WantReadError:
            pass
        for data in pair.server.datagrams():
            client.bio_write(data)
    assert pair.server.closed == "no common SRTP profile"
    assert pair.server.srtp is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["first", "mid", "done"]),
    st.lists(
        st.one_of(
            st.binary(max_size=100),
            st.builds(
                make_record,
                st.integers(19, 26),
                st.integers(0, 2),
                st.integers(0, 5),
                st.binary(max_size=60),
            ),
        ),
        max_size=5,
    ),
)
def test_garbage_raises_nothing_but_bad_packet_at_any_stage(
    contexts: Any, stage: str, garbage: list[bytes]
) -> None:
    pair = Pair(contexts)
    pair.client.start(NOW)
    first = pair.client.datagrams()
    if stage != "first":
        for data in first:
            pair.give(pair.server, data)
    if stage == "done":
        pair.pump()
        assert pair.server.srtp is not None
    for data in garbage:
        pair.give(pair.server, data)
    if stage == "done":
        pair.client.send(b"still here")
        pair.pump()
        assert pair.server.received() == [b"still here"]
    else:
        assert pair.server.closed is None, "a few forged datagrams end nothing"


def test_an_oversized_datagram_is_not_even_looked_at(pair: Pair) -> None:
    with pytest.raises(BadPacket) as caught:
        pair.server.receive_untrusted(b"\x16" * 5000, NOW)
    assert caught.value.reason is Drop.TOO_LARGE


def test_an_identity_is_named_by_chance_and_hides_its_key() -> None:
    one, other = generate_identity(lambda size: b"\1" * size), generate_identity(lambda size: b"\2" * size)
    assert one.fingerprint != other.fingerprint
    assert "PRIVATE" not in repr(one)
    assert load_certificate(one).subject.rfc4514_string() == "CN=0101010101010101"


def test_profiles_nobody_knows_are_refused_at_the_start(contexts: Any) -> None:
    for profiles in (["SRTP_NULL"], []):
        with pytest.raises(LocalError):
            DtlsContext(contexts[0].identity, profiles)


def test_a_key_of_another_kind_is_refused_at_the_start(contexts: Any) -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(LocalError):
        DtlsContext(attrs.evolve(contexts[0].identity, key_pem=pem))
