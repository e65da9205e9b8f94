"""The table ``[plugins.metrics]``."""

from __future__ import annotations

import attrs
from attrs.validators import matches_re


@attrs.frozen
class MetricsConfig:
    """Prometheus metrics on the operators' listener.

    path: where they are
    sftd_uptime: also `sft_uptime`, which Wire's `sftd` has; `promtool` finds fault with its name
    """

    path: str = attrs.field(default="/metrics", validator=matches_re(r"/[\w./-]+"))
    sftd_uptime: bool = True
