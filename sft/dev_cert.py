"""A self-signed certificate for trying things out in a LAN: browsers want HTTPS for the camera."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sft.plugin.addresses import default_addresses

VALID_DAYS = 365


def own_hosts() -> list[str]:
    """The names and addresses under which others in the LAN may know this machine."""
    hosts = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *default_addresses()]
    return list(dict.fromkeys(hosts))


def write_certificate(folder: Path, hosts: Sequence[str]) -> tuple[Path, Path]:
    """Write ``cert.pem`` and ``key.pem`` for ``hosts`` (names or IP addresses), and give their paths.

    ``FileExistsError``: one is there already; nothing is overwritten.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sft development certificate")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "cert.pem", folder / "key.pem"
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} is there already")
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    descriptor = os.open(paths[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return paths


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
