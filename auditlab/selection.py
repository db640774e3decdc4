"""What part of a log a question is about: entity types, one entity, or picked changes; and what may be asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from auditlab.callers import warn_caller
from auditlab.clock import Moment, instant
from auditlab.engines import Engine, PolarsEngine
from auditlab.errors import BadOption, IncompleteLog, IncompletePopulation, NoData, UnlinkedKeys, WithheldFields
from auditlab.few_changes import few_changes

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.recorded import Recorded
    from auditlab.shape import Shape

__all__ = ["PLACE", "Beside", "Selected", "whole_number"]

PLACE = "\x00place"
"""The column in which a ``placed`` answer says where its rows stand; no field is called so."""


def whole_number(option: str, value: object) -> None:
    """Raise ``BadOption`` where a value is given that is no whole number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
        raise BadOption(f"{option}= takes a whole number, got {value!r}.")


class Beside(Protocol):
    """Live entities of which a part of a log has no row: they are as they were at the position that it goes on from."""

    def settled(self, entity_type: str, *, texts: bool) -> pl.DataFrame | None:
        """Their states, the same as of all that the part is asked about; None where the part has the rows of all.

        Args:
            entity_type: The type.
            texts: Whether ``state``, the recorded text, is wanted; else the typed fields ``f0``, ``f1``, ...

        Returns:
            entity_id (String), certain (Boolean), and what is wanted, in no promised order.
        """

    def absent(self, entity_type: str) -> pl.Series:
        """The ids (String) of those that are not live then, but may have been."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A selection of a log: the small value that every verb's function takes.

    Args:
        recorded: The log with its derived tables.
        entity_types: The selected types, by name.
        entity_id: The one selected entity of the one selected type, or None.
        picks: Predicates over the canonical columns that picked single changes.
        words: The picks in words, for messages.
        code: The picks as the calls that make them again (``...`` where a call cannot be told).
        engine: What computes the answers.
        placed: Whether answers in the log's order say in ``PLACE`` at which position each row stands, for one who
            puts together the answers of several parts of a log.
        sought: Columns and the values in them that the picks are for.
        beside: Live entities of which ``recorded`` has no row; None where it has all.
        chosen: Whether the types were chosen (``of``), and a question is about no others.
        within: Whether changes of an interval were picked (``between``), which told what the log lacks of it.
    """

    recorded: Recorded
    entity_types: tuple[str, ...]
    entity_id: str | None = None
    picks: tuple[pl.Expr, ...] = ()
    words: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    engine: Engine = field(default_factory=PolarsEngine)
    placed: bool = False
    sought: tuple[tuple[str, Any], ...] = ()
    beside: Beside | None = None
    chosen: bool = False
    within: bool = False

    def as_recorded(self) -> Selected:
        """The same selection of the log as it was recorded, without renames and upcasters."""
        return replace(self, recorded=self.recorded.original)

    def in_larger(self) -> Selected:
        """The same selection of the log that this one's is a part of: other types' changes tell of a moment, too."""
        larger = self.recorded.larger
        return self if larger is None else replace(self, recorded=larger, beside=None)

    def for_states(self) -> Selected:
        """The same selection of as much of the log as states of its types take."""
        recorded = few_changes(self.recorded, self.entity_types)
        return self if recorded is self.recorded else replace(self, recorded=recorded)

    def shapes(self) -> list[Shape]:
        """The derived tables of the selected types."""
        return [self.recorded.shape(entity_type) for entity_type in self.entity_types]

    def changes(self) -> pl.DataFrame:
        """The selected changes: canonical columns and ``position``, in the log's order; no baseline rows."""
        rows, echoes = self._picked(), self.recorded.echoes
        return rows.filter(~pl.col("position").is_in(echoes.implode())) if len(echoes) else rows

    def positions(self) -> pl.Series:
        """The positions of the selected changes, and of a part those of which another part tells."""
        return self._picked()["position"]

    def _picked(self) -> pl.DataFrame:
        rows = self.recorded.changes.filter(~pl.col("baseline")).drop("baseline", "row")
        if self.entity_types != self.recorded.entity_types:
            rows = rows.filter(pl.col("entity_type").is_in(self.entity_types))
        if self.entity_id is not None:
            truncated = pl.col("entity_id").is_null()
            rows = rows.filter((pl.col("entity_id") == self.entity_id) | truncated)
        return rows.filter(*self.picks) if self.picks else rows

    def in_order(self, rows: pl.DataFrame, position: pl.Series) -> pl.DataFrame:
        """An answer in the log's order, from its rows and the positions that they stand at (UInt32, sorted)."""
        return rows.with_columns(position.alias(PLACE)) if self.placed else rows

    def of_picked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of ``frame`` (with ``position``) that belong to selected changes."""
        if not self.picks and not self.recorded.changes["baseline"].any():
            return frame
        return frame.join(self._picked().select("position"), on="position", how="semi", maintain_order="left")

    def require_states(self, verb: str) -> None:
        """Raise ``IncompleteLog`` where states cannot be told from what is selected or loaded."""
        self._require(verb, whole=self.recorded.facts.coverage.complete)

    def require_chains(self, verb: str) -> None:
        """Raise ``IncompleteLog`` where changes were picked, here or at the source: others may lie between them."""
        self._require(verb, whole=not self.recorded.facts.coverage.gaps)

    def _require(self, verb: str, *, whole: bool) -> None:
        if self.words:
            raise IncompleteLog(
                f"{verb}() needs whole histories, and this selection picked single changes ({', '.join(self.words)}). "
                f"Ask {verb}() of the log before the pick; changes(), diffs(), timeline() and summary() answer here."
            )
        if not whole:
            facts = self.recorded.facts
            without = "Load it without that filter; " if facts.filters or not facts.coverage.cut else ""
            raise IncompleteLog(
                f"{verb}() needs whole histories, and this log holds changes only: {facts.coverage.why}. "
                f"{without}changes(), diffs(), timeline() and summary() answer here."
            )

    def withheld(self, *entity_types: str) -> list[str]:
        """The fields of these types that were masked or left out when the log was written, and which of both."""
        facts = self.recorded.facts
        told = [
            f"{name} ({how})"
            for names, how in ((facts.masked, "masked"), (facts.omitted, "left out"))
            for name in names
        ]
        return [name for name in told if name.startswith(tuple(f"{entity_type}." for entity_type in entity_types))]

    def warn_withheld(self, *entity_types: str) -> None:
        """Warn where fields were masked or left out when the log was written."""
        if own := self.withheld(*entity_types):
            warn_caller(
                f"fields were withheld when this log was written: {', '.join(own)}. Their values, and changes of them "
                "alone, are in no answer.",
                WithheldFields,
            )

    def warn_nameless(self, *entity_types: str) -> None:
        """Warn where rows were set apart that do not tell whose they are."""
        told = ", ".join(
            f"{name} ({count:,})" for name, count in self.recorded.nameless.items() if name in entity_types
        )
        if told:
            warn_caller(
                f"rows of {told} that do not tell whose they are were set apart as no changes: log.malformed has them. "
                "What they did is not in this answer, whichever entity they are of.",
                IncompletePopulation,
            )

    def warn_partial(self, *entity_types: str) -> None:
        """Warn where an answer has only the rows that the log saw, lacks fields, or has rows under earlier keys."""
        self.warn_withheld(*entity_types)
        self.warn_nameless(*entity_types)
        unseen = {name: self.recorded.unseen[name] for name in entity_types if name in self.recorded.unseen}
        if unseen and self.entity_id is None:
            told = ", ".join(f"{name} ({count:,} of them were changed later)" for name, count in unseen.items())
            warn_caller(
                f"rows of {told} were there before the log began. Those that no change touched since are not in it, "
                "and not in this answer.",
                IncompletePopulation,
            )
        self.warn_gone(*entity_types)
        moved = self.recorded.unlinked_keys.filter(pl.col("entity_type").is_in(entity_types))
        if self.entity_id is not None:
            moved = moved.filter((pl.col("old") == self.entity_id) | (pl.col("new") == self.entity_id))
        if len(moved):
            first = moved.row(0, named=True)
            warn_caller(
                f"primary keys were changed {len(moved):,} times in a way that this log does not tell for certain, "
                f"first from {first['old']} to {first['new']} of {first['entity_type']} by change {first['id']}. "
                "Rows may be in this answer under keys that they no longer had, or be missing from it.",
                UnlinkedKeys,
            )

    def warn_gone(self, *asked: str, changes: bool = False) -> None:
        """Warn where an answer about all types lacks those of which the log has no change any more.

        Args:
            asked: The types that the question is about.
            changes: Whether it is about changes: of an interval that was asked for, all are there, or a warning was.
        """
        there, facts = self.in_larger().recorded.entity_types, self.recorded.facts
        if self.chosen or self.entity_id is not None or not set(asked).issuperset(there):
            return
        if changes and (self.within or facts.from_a_start):
            return
        gone = [name for name in facts.partial if name not in there]
        if gone or (facts.coverage.why and facts.coverage.complete and not there):
            told = f"of {', '.join(gone) or 'the types that were there'} this log has no change any more"
            lacks = "none of their changes" if changes else "none of their rows"
            warn_caller(
                f"{told}, and {lacks} is in this answer.{facts.coverage.also}",
                IncompletePopulation,
            )

    def instant(self, moment: Moment, *entity_types: str) -> datetime:
        """The instant in UTC.

        Args:
            moment: A time; naive ones are read in the log's zone.
            entity_types: The types that the question is about; all that are selected if none is named.

        Raises:
            BadTime: it cannot be read.
            NoData: it lies outside the log's coverage, or before the baseline with which a type's log begins.
        """
        at = instant(moment, self.recorded.facts.zone)
        coverage = self.recorded.facts.coverage
        if coverage.start is None or coverage.end is None:
            raise NoData(f"the log holds no change; asked for {at:%Y-%m-%d %H:%M:%S} UTC.{coverage.also}")
        if not coverage.start <= at <= coverage.end:
            raise self.not_covered(at.isoformat(sep=" "), early=at < coverage.start)
        begun = self.recorded.begun
        late = [name for name in entity_types or self.entity_types if name in begun and at < begun[name]]
        if late:
            since = ", ".join(f"{name} since {begun[name].isoformat(sep=' ')}" for name in late)
            raise NoData(
                f"the log has {since} (its baseline); asked for {at.isoformat(sep=' ')}. "
                "What was there before is not in the log; of(...) selects types that are."
            )
        return at

    def not_covered(self, asked: str, *, early: bool) -> NoData:
        """The error about what is asked for outside of the log's coverage; ``early``: before it."""
        facts, coverage = self.recorded.facts, self.recorded.facts.coverage
        span = " to ".join(end.isoformat(sep=" ") for end in (coverage.start, coverage.end) if end is not None)
        more = " Where a file or a frame is known to be complete for longer, load it with coverage=(start, end)."
        if facts.system is not None:
            more = " What was before the log began, or after it was read, it does not tell."
            if facts.clock == "committed_at" and early:
                more = (
                    " Its times are those of commits. Where changes were put into it later than they were made, "
                    "load it from its database with clock='changed_at'."
                )
        return NoData(f"the log covers {span}; asked for {asked}.{coverage.also or more}")
