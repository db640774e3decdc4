"""The facts of an archive to which something was added."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from auditlab.marks import in_order
from auditlab.schema import Coverage, LogFacts

if TYPE_CHECKING:
    from auditlab.load.watermark import Held

__all__ = ["extended", "known"]

_TICK = timedelta(microseconds=1)


def known(facts: LogFacts, left: Held) -> LogFacts:
    """The facts of a log of which something was left: it is known up to where that begins."""
    end = facts.coverage.end
    if left.before is None or end is None:
        return facts
    until = max(min(end, left.before - _TICK), facts.coverage.start or end)
    return replace(facts, coverage=replace(facts.coverage, end=until))


def extended(
    old: LogFacts, new: LogFacts, *, clock: str | None = None, visible_within: float | None = None
) -> LogFacts:
    """The facts of an archive to which a part with facts of its own was added.

    Args:
        old: The archive's.
        new: The part's.
        clock: What was asked for of the part.
        visible_within: The same: it holds for the whole, be the part empty or not.
    """
    ends = [end for end in (old.coverage.end, new.coverage.end) if end is not None]
    coverage = Coverage(
        start=old.coverage.start or new.coverage.start,
        end=max(ends, default=None),
        complete=old.coverage.complete and new.coverage.complete,
        why=old.coverage.why or new.coverage.why,
        gaps=old.coverage.gaps or new.coverage.gaps,
        cut=old.coverage.cut if old.coverage.start is not None else new.coverage.cut,
    )
    stays = old.clock == "changed_at" or (new.coverage.start is None and clock is None)  # nothing new dates nothing
    dating = old if old.coverage.start is not None and stays else new
    return replace(
        new,
        clock=dating.clock,  # the commit's only where both parts have it throughout
        visible_within=dating.visible_within if visible_within is None else visible_within,
        marks=in_order([*old.marks, *new.marks]),
        coverage=coverage,
        kinds={**old.kinds, **new.kinds},
        keys={**old.keys, **new.keys},
        masked=old.masked,
        omitted=old.omitted,
        partial=tuple(sorted({*old.partial, *new.partial})),
    )
