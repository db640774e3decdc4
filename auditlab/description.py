"""What a log, or a selection of one, holds: the lines of its repr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlab.printable import printable

if TYPE_CHECKING:
    from auditlab.schema import LogFacts
    from auditlab.selection import Selected

__all__ = ["description"]


def description(selected: Selected) -> list[tuple[str, str]]:
    """What is held, as pairs of a name and words: types, coverage, clock, source, and what limits the answers."""
    recorded = selected.recorded
    rows, facts = selected.changes(), recorded.facts
    per_type = {name: group for (name,), group in rows.group_by("entity_type")}
    entities = {name: group["entity_id"].drop_nulls().n_unique() for name, group in per_type.items()}
    types = [
        f"{name} ({_counted(len(per_type[name]), 'change')}, {_counted(entities[name], 'entity', 'entities')})"
        for name in selected.entity_types
        if name in per_type
    ]
    users = rows["changed_by"].drop_nulls().n_unique()
    shown = [
        ("ChangeLog", f"{_counted(len(rows), 'change')} by {_counted(users, 'user')}"),
        ("types", ", ".join(types) or "none"),
        ("coverage", str(facts.coverage)),
        ("clock", f"{_clock(facts)}naive times are {facts.zone}"),
        ("source", facts.source),
        ("engine", selected.engine.name),
    ]
    if facts.marks:
        shown.append(("marks", f"{_counted(len(facts.marks), 'mark')}, the last {facts.marks[-1]}"))
    if selected.entity_id is not None:
        shown.append(("entity", selected.entity_id))
    partial = ", ".join(name for name in selected.entity_types if name in recorded.unseen)
    if partial:
        shown.append(("population", f"incomplete: rows of {partial} were there before the log began"))
    if facts.filters:
        shown.append(("loaded", ", ".join(facts.filters)))
    if recorded.readings:
        shown.append(("read as", "; ".join(recorded.readings)))
    if selected.words:
        shown.append(("picked", ", ".join(selected.words)))
    if recorded.malformed is not None and len(recorded.malformed):
        shown.append(("malformed", f"{_counted(len(recorded.malformed), 'row')} set apart"))
    return [(name, printable(words)) for name, words in shown]


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
