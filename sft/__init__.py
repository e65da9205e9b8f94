"""sft: a selective forwarding server for end-to-end encrypted conference calls.

Plugin authors start here::

    from sft import hookimpl
"""

from __future__ import annotations

from pluggy import HookimplMarker

from sft._version import __version__

hookimpl = HookimplMarker("sft")
"""Marks a function of a plugin as the implementation of the hook it is named after."""

__all__ = ["__version__", "hookimpl"]
