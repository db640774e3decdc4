"""How much the tests of promises do: a part in ``make test``, all in ``make soak``, which runs who imports this."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

__all__ = ["SOAK", "generated"]

SOAK = os.environ.get("AUDITLAB_SOAK") == "1"
"""Whether all of it is asked for."""


def generated(many: int, *, few: int) -> settings:
    """How a test over generated examples runs.

    In a soak it takes so many, others every time, and shrinks a failure. Else it takes a few, and those always the
    same: a failure is the code's.
    """
    return settings(
        max_examples=many if SOAK else few,
        deadline=None,
        derandomize=not SOAK,
        database=None,
        phases=tuple(Phase) if SOAK else (Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
