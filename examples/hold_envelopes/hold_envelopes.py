"""A lobby for sft: key envelopes are held until their sender is admitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from sft import hookimpl
from sft.plugin import CommonServices, Config, EnvelopeVerdict, ParticipantId, PluginNursery


@attrs.frozen
class HoldConfig:
    """The lobby.

    admitted: file with the users whose envelopes are delivered, one id per line
    blocked: file with the users whose envelopes are refused, sent and received
    reload_seconds: how often the files are looked at
    """

    admitted: str = "admitted"
    blocked: str = "blocked"
    reload_seconds: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))


class HoldEnvelopes:
    """The plugin: one object per process."""

    def __init__(self) -> None:
        self._admitted = UserFile(Path("admitted"))
        self._blocked = UserFile(Path("blocked"))
        self._reload_seconds = 1.0

    @hookimpl
    def sft_config_table(self) -> type[HoldConfig]:
        return HoldConfig

    @hookimpl
    def sft_configure(self, config: Config) -> None:
        table = config.table(HoldConfig)
        self._admitted = UserFile(config.path(table.admitted))
        self._blocked = UserFile(config.path(table.blocked))
        self._reload_seconds = table.reload_seconds
        self.reload()

    @hookimpl
    def sft_key_envelope(
        self, sender: ParticipantId, recipients: Sequence[ParticipantId]
    ) -> EnvelopeVerdict | None:
        if not self._blocked.users.isdisjoint({sender.user, *(one.user for one in recipients)}):
            return EnvelopeVerdict.REFUSE
        if sender.user not in self._admitted.users:
            return EnvelopeVerdict.HOLD
        return None  # nothing against it: let other plugins speak

    @hookimpl
    def sft_run(self, nursery: PluginNursery, services: CommonServices) -> None:
        if services.role == "worker":  # envelopes are asked about there
            nursery.start_soon(self._keep_fresh, services)

    def reload(self) -> bool:
        """Read what changed. True: something did."""
        return any([self._admitted.reload(), self._blocked.reload()])

    async def _keep_fresh(self, services: CommonServices) -> None:
        while True:
            await trio.sleep(self._reload_seconds)
            if self.reload():
                services.log("hold_envelopes.reloaded", admitted=len(self._admitted.users))


class UserFile:
    """A file with one user id per line. A missing file names nobody."""

    def __init__(self, path: Path) -> None:
        self.users: frozenset[str] = frozenset()
        self._path = path
        self._text = ""

    def reload(self) -> bool:
        """True: its content changed."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        changed = text != self._text
        self._text = text
        self.users = frozenset(text.split())
        return changed


plugin = HoldEnvelopes()
