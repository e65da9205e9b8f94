"""DTLS 1.2 (RFC 6347) with DTLS-SRTP (RFC 5764) on OpenSSL's memory BIOs: datagrams in, datagrams out.

OpenSSL keeps the clock of its retransmission timer to itself. The deadline of a session is derived
from what OpenSSL reports as remaining, so a handshake with losses takes real seconds also in tests.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from sft.errors import BadPacket, LocalError
from sft.model import Drop, DtlsIdentity, RandomBytes, SrtpParameters
from sft.webrtc.srtp import PROFILES

MTU: Final = 1200
"""Bytes of a handshake datagram. An SCTP packet may come out a few bytes larger; it still fits IPv6's
minimum of 1280 with IP and UDP headers (design of aiortc's SCTP)."""

MAX_DATAGRAM: Final = 4096
"""Bytes. Nobody sends larger ones over UDP, and OpenSSL's record buffer would misread what is left."""

_DTLS_1_2: Final = 0xFEFD
_CIPHERS: Final = b"ECDHE+AESGCM"
_RECORD_HEADER: Final = 13
_MAX_RESTARTS: Final = 8
_MAX_EARLY: Final = 16  # records held until the fingerprint is known; SCTP repeats what is lost
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {  # strongest first
    "sha-512": hashes.SHA512(),
    "sha-384": hashes.SHA384(),
    "sha-256": hashes.SHA256(),
}


def generate_identity(random: RandomBytes) -> DtlsIdentity:
    """A new self-signed ECDSA P-256 certificate under a random name, good for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, random(8).hex())])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return DtlsIdentity(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        fingerprint=_fingerprint(certificate, "sha-256"),
    )


def _fingerprint(certificate: x509.Certificate, algorithm: str) -> str:
    return certificate.fingerprint(_HASHES[algorithm]).hex(":").upper()


def matches(certificate: x509.Certificate, fingerprints: Sequence[tuple[str, str]]) -> bool:
    """Whether the certificate has one of the fingerprints (RFC 8122 section 5).

    Of several hash functions only the strongest that we know counts; several values of one hash
    function mean several certificates, any of which may be used.
    """
    for algorithm in _HASHES:
        values = [value for name, value in fingerprints if name == algorithm]
        if values:
            actual = _fingerprint(certificate, algorithm).encode()
            return any(hmac.compare_digest(actual, value.encode("utf-8", "replace")) for value in values)
    return False


class DtlsContext:
    """What all sessions of a worker share: identity, ciphers, SRTP profiles in order of preference."""

    def __init__(self, identity: DtlsIdentity, profiles: Sequence[str] = tuple(PROFILES)) -> None:
        unknown = [name for name in profiles if name not in PROFILES]
        if unknown or not profiles:
            raise LocalError(f"unusable SRTP profiles: {', '.join(unknown) or 'none given'}")
        self.identity = identity
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_max_proto_version(_DTLS_1_2)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_cipher_list(_CIPHERS)
        context.set_tlsext_use_srtp(":".join(profiles).encode())
        context.use_certificate(x509.load_pem_x509_certificate(identity.certificate_pem))
        key = serialization.load_pem_private_key(identity.key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise LocalError("the DTLS identity needs an elliptic curve key")
        context.use_privatekey(key)
        context.check_privatekey()
        # Certificates are self-signed; the fingerprint in the SDP is what is verified (RFC 8842).
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept)
        self._context = context

    def connect(self, *, is_server: bool) -> SSL.Connection:
        """A fresh connection on memory BIOs."""
        connection = SSL.Connection(self._context, None)
        if is_server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        connection.set_ciphertext_mtu(MTU)
        return connection


def _accept(*_: object) -> bool:
    return True


class DtlsSession:
    """One peer's DTLS association. Mutate, then drain ``datagrams()`` and ``received()``.

    Nothing is delivered, and ``srtp`` stays None, until the handshake is done and the certificate
    matches a fingerprint of the SDP answer, in whichever order the two arrive.
    """

    __slots__ = (
        "_certificate",
        "_connection",
        "_context",
        "_fingerprints",
        "_inbox",
        "_outbox",
        "_restarts",
        "closed",
        "deadline",
        "is_server",
        "last_alive",
        "srtp",
    )

    def __init__(self, context: DtlsContext, *, is_server: bool) -> None:
        self.is_server = is_server
        self.srtp: SrtpParameters | None = None
        self.closed: str | None = None
        self.deadline: float | None = None
        self.last_alive: float | None = None
        self._context = context
        self._connection = context.connect(is_server=is_server)
        self._certificate: x509.Certificate | None = None  # of the peer, once the handshake is done
        self._fingerprints: tuple[tuple[str, str], ...] | None = None
        self._inbox: list[bytes] = []
        self._outbox: list[bytes] = []
        self._restarts = 0

    def start(self, now: float) -> None:
        """As the client: send the ClientHello."""
        self._handshake_untrusted(now)

    def set_fingerprints(self, fingerprints: Sequence[tuple[str, str]]) -> None:
        """What the SDP answer says of the peer's certificate: (algorithm lower, value upper case)."""
        self._fingerprints = tuple(fingerprints)
        self._verify()

    def receive_untrusted(self, data: bytes, now: float) -> None:
        """Take one datagram, as it came: OpenSSL puts split handshake messages together."""
        if self.closed is not None:
            return
        if not data or len(data) > MAX_DATAGRAM:
            raise BadPacket(Drop.TOO_LARGE if data else Drop.EMPTY, f"DTLS datagram of {len(data)} bytes")
        if len(data) < _RECORD_HEADER:
            raise BadPacket(Drop.DTLS_MALFORMED, "short record header")
        self._connection.bio_write(data)
        if self._certificate is None:
            self._handshake_untrusted(now)
        if self._certificate is not None:
            self._read_untrusted(now)
            self._verify_untrusted()
        self._collect()

    def send(self, data: bytes) -> None:
        """Encrypt one packet of application data (an SCTP packet)."""
        if self.srtp is None or self.closed is not None:
            raise LocalError("DTLS carries no data now")
        try:
            self._connection.send(data)
        except SSL.Error as error:
            self._close(f"DTLS failed: {_explain(error)}")
        self._collect()

    def handle_timeout(self, now: float) -> None:
        if self.deadline is None or now < self.deadline:
            return
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:  # too many retransmissions
            self._close(f"DTLS handshake timed out: {_explain(error)}")
        self._collect()
        self._set_deadline(now)

    def close(self) -> None:
        """Say close_notify, if there is somebody to say it to."""
        if self.closed is None:
            try:
                self._connection.shutdown()
            except SSL.Error:
                pass  # the handshake was not done
            self._collect()
            self._close("closed by us")

    def datagrams(self) -> list[bytes]:
        """What is to be sent; drains."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def received(self) -> list[bytes]:
        """Application data from the verified peer; drains. Empty until it is verified."""
        if self.srtp is None:
            return []
        inbox, self._inbox = self._inbox, []
        return inbox

    def _handshake_untrusted(self, now: float) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._collect()
            self._set_deadline(now)
        except SSL.Error as error:
            self._start_over_untrusted(error)
        else:
            self._collect()
            self.deadline = None
            self.last_alive = now
            self._certificate = self._connection.get_peer_certificate(as_cryptography=True)
            if self._connection.get_selected_srtp_profile().decode() not in PROFILES:
                self._close("no common SRTP profile")
                raise BadPacket(Drop.DTLS_FAILED, self.closed or "")

    def _start_over_untrusted(self, error: SSL.Error) -> None:
        # Until the handshake is done anybody who can forge a source address can break it. So a broken
        # one is forgotten without an alert and the next ClientHello begins another, a few times.
        self._restarts += 1
        self.deadline = None
        if not self.is_server or self._restarts >= _MAX_RESTARTS:
            self._collect()
            self._close(f"DTLS handshake failed: {_explain(error)}")
        else:
            self._connection = self._context.connect(is_server=True)
        raise BadPacket(Drop.DTLS_FAILED, _explain(error)) from error

    def _read_untrusted(self, now: float) -> None:
        try:
            while True:
                data = self._connection.recv(MAX_DATAGRAM)
                self.last_alive = now
                if self.srtp is not None or len(self._inbox) < _MAX_EARLY:
                    self._inbox.append(data)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._close("DTLS close_notify")
        except SSL.Error as error:
            self._collect()
            self._close(f"DTLS failed: {_explain(error)}")
            raise BadPacket(Drop.DTLS_FAILED, _explain(error)) from error

    def _verify_untrusted(self) -> None:
        self._verify()
        if self._fingerprints is not None and self.srtp is None:
            raise BadPacket(Drop.DTLS_FINGERPRINT)

    def _verify(self) -> None:
        if self._certificate is None or self._fingerprints is None or self.srtp is not None or self.closed:
            return
        if matches(self._certificate, self._fingerprints):
            self.srtp = self._export_srtp()
        else:
            self._inbox.clear()
            self._close("the certificate does not match the fingerprint")

    def _export_srtp(self) -> SrtpParameters:
        """Keys by RFC 5764 section 4.2: client key, server key, client salt, server salt."""
        profile = PROFILES[self._connection.get_selected_srtp_profile().decode()]
        key, salt = profile.key_length, profile.salt_length
        material = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        salts = material[2 * key :]
        client = material[:key] + salts[:salt]
        server = material[key : 2 * key] + salts[salt:]
        inbound, outbound = (client, server) if self.is_server else (server, client)
        return SrtpParameters(profile.name, inbound, outbound)

    def _set_deadline(self, now: float) -> None:
        left = None if self.closed else self._connection.DTLSv1_get_timeout()
        self.deadline = None if left is None else now + left

    def _close(self, reason: str) -> None:
        self.closed = reason
        self.deadline = None

    def _collect(self) -> None:
        try:
            self._outbox.extend(_split(self._connection.bio_read(65536)))
        except SSL.WantReadError:
            pass


def _split(data: bytes) -> Iterator[bytes]:
    """Cut a flight into datagrams of at most ``MTU`` bytes at the borders of records: a memory BIO
    forgets where one write ended. A record larger than that gets a datagram of its own."""
    if len(data) <= MTU:
        yield data
        return
    begin = position = 0
    while position < len(data):
        end = position + _RECORD_HEADER + int.from_bytes(data[position + 11 : position + 13], "big")
        if end - begin > MTU and position > begin:
            yield data[begin:position]
            begin = position
        position = end
    yield data[begin:]


def _explain(error: SSL.Error) -> str:
    """OpenSSL's reason texts, without the library and function names."""
    if error.args and isinstance(error.args[0], list):
        return ", ".join(str(entry[-1]) for entry in error.args[0]) or "unknown"
    return str(error) or type(error).__name__
