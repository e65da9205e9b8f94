"""sft: a selective forwarding server for end-to-end encrypted conference calls.

Plugin authors start here::

    from sft import hookimpl
"""

from __future__ import annotations

from sft._version import __version__

__all__ = ["__version__"]
