"""What a log, or a selection of one, holds: the lines of its repr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlab.buckets.answers import asked
from auditlab.buckets.bucketed import Bucketed
from auditlab.printable import printable

if TYPE_CHECKING:
    import polars as pl

    from auditlab.schema import LogFacts
    from auditlab.selection import Selected

__all__ = ["description"]


def description(selected: Selected) -> list[tuple[str, str]]:
    """What is held, as pairs of a name and words: types, coverage, clock, source, and what limits the answers."""
    recorded = selected.recorded
    facts, (per_type, users) = recorded.facts, _tally(selected)
    types = [
        f"{name} ({_counted(per_type[name][0], 'change')}, {_counted(per_type[name][1], 'entity', 'entities')})"
        for name in selected.entity_types
        if name in per_type
    ]
    changes = sum(count for count, _ in per_type.values())
    shown = [
        ("ChangeLog", f"{_counted(changes, 'change')} by {_counted(len(users), 'user')}"),
        ("types", ", ".join(types) or "none"),
        ("coverage", str(facts.coverage)),
        *([("before", facts.coverage.why)] if _began_earlier(facts) else []),
        ("clock", f"{_clock(facts)}naive times are {facts.zone}"),
        ("source", facts.source),
        ("engine", selected.engine.name),
    ]
    if facts.marks:
        shown.append(("marks", f"{_counted(len(facts.marks), 'mark')}, the last {facts.marks[-1]}"))
    if selected.entity_id is not None:
        shown.append(("entity", selected.entity_id))
    if facts.since is not None:
        states = _counted(facts.since.entities, "entity", "entities")
        shown.append(("begins", f"with the snapshot of {states} as of {facts.since.mark}"))
    partial = ", ".join(name for name in selected.entity_types if name in recorded.unseen)
    if partial:
        shown.append(("population", f"incomplete: rows of {partial} were there before the log began"))
    withheld = [
        f"{', '.join(names)} {how}" for names, how in ((facts.masked, "masked"), (facts.omitted, "left out")) if names
    ]
    if withheld:
        shown.append(("withheld", "; ".join(withheld)))
    if facts.filters:
        shown.append(("loaded", ", ".join(facts.filters)))
    if recorded.readings:
        shown.append(("read as", "; ".join(recorded.readings)))
    if selected.words:
        shown.append(("picked", ", ".join(selected.words)))
    if recorded.malformed is not None and len(recorded.malformed):
        shown.append(("malformed", f"{_counted(len(recorded.malformed), 'row')} set apart"))
    return [(name, printable(words)) for name, words in shown]


def _began_earlier(facts: LogFacts) -> bool:
    """Whether the log once held more, of which no other line tells."""
    return bool(facts.coverage.why) and facts.coverage.complete and facts.coverage.start is not None and not facts.since


def _tally(selected: Selected) -> tuple[dict[str, tuple[int, int]], set[str]]:
    """The selected changes and their entities by type, and the users; a log that is dealt out is counted by part."""
    recorded = selected.recorded
    if isinstance(recorded, Bucketed):
        frames = (rows for _, rows in asked(recorded, selected, _narrow))
    else:
        frames = (rows for rows in (_narrow(selected),))
    per_type: dict[str, tuple[int, int]] = {}
    users: set[str] = set()
    for rows in frames:
        for (name,), group in rows.group_by("entity_type"):
            known = per_type.get(str(name), (0, 0))
            entities = group["entity_id"].drop_nulls().n_unique()  # each is in one part alone
            per_type[str(name)] = known[0] + len(group), known[1] + entities
        users.update(rows["changed_by"].drop_nulls().unique())
    return per_type, users


def _narrow(selected: Selected) -> pl.DataFrame:
    return selected.changes().select("entity_type", "entity_id", "changed_by")


def _clock(facts: LogFacts) -> str:
    """The clock, and what its times are where that is known."""
    if not facts.visible_within:
        return f"{facts.clock}, "
    times = {"changed_at": "when a transaction began", "committed_at": "when a commit was written down"}
    told = times.get(facts.clock, "when it was recorded")
    return f"{facts.clock} ({told}; seen by others within {_long(facts.visible_within)}), "


def _long(seconds: float) -> str:
    """A number of seconds in the largest unit that it is a whole number of."""
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= length and not seconds % length:
            return _counted(int(seconds // length), unit)
    return f"{seconds:g} s"


def _counted(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"
