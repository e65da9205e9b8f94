"""The plugins that are always there; they are asked last, and prove that the hooks suffice."""

from __future__ import annotations

from importlib import import_module

from sft.plugin.builtin import dtls, log, placement, srtp
from sft.plugin.builtin.credentials import Credentials


def builtin_plugins() -> dict[str, object]:
    """Fresh ones, by name."""
    return {
        "credentials": Credentials(),
        "dtls": dtls,
        "live": import_module("sft.webclient.live"),  # by name: it lies in the room above this one
        "log": log,
        "placement": placement,
        "srtp": srtp,
        "webclient": import_module("sft.webclient"),
    }
