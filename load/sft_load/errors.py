"""What can go wrong, as exceptions.

::

    LoadError           the load did not come about, so there is nothing to measure
    └── JoinError       one participant could not join; the text is counted, so it names no participant
"""

from __future__ import annotations


class LoadError(Exception):
    """The load did not come about, so there is nothing to measure."""


class JoinError(LoadError):
    """One participant could not join."""
