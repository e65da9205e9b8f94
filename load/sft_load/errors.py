"""What can go wrong, as exceptions.

::

    LoadError           the load did not come about, so there is nothing to measure
    ├── JoinError       one participant could not join; the text is counted, so it names no participant
    └── OwnError        sft-load itself has failed, which says nothing of the server
"""

from __future__ import annotations

import errno

NO_DESCRIPTORS = "sft-load has no file descriptor left (ulimit -n)"
"""Why participants failed, through no fault of the server."""


class LoadError(Exception):
    """The load did not come about, so there is nothing to measure."""


class JoinError(LoadError):
    """One participant could not join."""


class OwnError(LoadError):
    """sft-load itself has failed."""


def explain(error: Exception) -> str:
    """In a few words."""
    if isinstance(error, OSError):
        return NO_DESCRIPTORS if error.errno in (errno.EMFILE, errno.ENFILE) else error.strerror or str(error)
    return str(error)
