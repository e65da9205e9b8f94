"""Built-in plugin ``dtls``: a certificate per process."""

from __future__ import annotations

import os

from sft import hookimpl
from sft.model import DtlsIdentity


@hookimpl
def sft_dtls_identity() -> DtlsIdentity:
    from sft.webrtc.dtls import generate_identity  # OpenSSL is loaded by those who need it

    return generate_identity(os.urandom)
