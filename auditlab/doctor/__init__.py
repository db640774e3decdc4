"""What of auditlab works on this machine, and what to do where something does not: the widgets above all."""

from __future__ import annotations

from auditlab.doctor.checks import Check, State
from auditlab.doctor.front_ends import front_end, front_ends
from auditlab.doctor.kernels import kernels
from auditlab.doctor.packages import extras, packages, postgres, time_zones

__all__ = ["Check", "State", "doctor"]


def doctor() -> list[Check]:
    """Every check, in the order in which people read them. Nothing is changed, and nothing but this machine asked."""
    return [*packages(), time_zones(), front_end(), *front_ends(), *kernels(), postgres(), *extras()]
