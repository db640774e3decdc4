"""Why not: in words, why an entity is absent at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.clock import instant
from auditlab.errors import NoData
from auditlab.set_aside import set_aside_of
from auditlab.spans import NOT_RECORDED, WORDS, holds
from auditlab.temporal import doubt

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.clock import Moment
    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["never_seen", "why_not"]

SOME = 5
"""The most ids of rows that are named."""

DOUBT = (
    "That is not certain: the next change found another state than this one left, the order of its changes cannot be "
    "told, or a row of it that stood there is no change and was set apart."
)


def why_not(selected: Selected, at: Moment | None = None) -> str:
    """Why the one selected entity is absent at an instant (inclusive), else in the latest state: a sentence or two.

    The sentence names the change that ended the entity, or the first that the log has of it, with its time (UTC; and
    since when it holds, where the log's clock says otherwise, as by commit times), its user and its transaction; where
    its key was changed, the other key (as an entity id). Of an entity that is there it says so, since when, and where
    that is not certain; of one that the log first has later it says whether it was not there yet or that cannot be
    told.

    Args:
        selected: A selection of one entity.
        at: A time; a bare date is 00:00, naive times are read in the log's zone. Without one, the latest state.

    Raises:
        BadTime: the time cannot be read.
        IncompleteLog: the selection or the log does not hold whole histories.
    """
    selected.require_states("why_not")
    (entity_type,), entity_id = selected.entity_types, selected.entity_id
    who = f"{entity_type} {entity_id}"
    try:
        when = selected.instant(at) if at is not None else None
    except NoData as exc:
        return f"It cannot be told whether {who} was there: {exc}"
    unsure = doubt.in_words(selected.recorded, entity_type, entity_id, when) if when is not None else ""
    return _why(selected, who, when) + unsure + _of_nobody(selected.recorded.nameless.get(entity_type, 0))


def _why(selected: Selected, who: str, when: datetime | None) -> str:
    (entity_type,), entity_id = selected.entity_types, selected.entity_id
    shape = selected.recorded.shape(entity_type)
    changes = _with_keys(selected, shape.entity_changes.filter(pl.col("entity_id") == entity_id).sort("turn"))
    asked = "now" if when is None else f"at {_time(when)}"
    live = shape.versions.filter(holds(when, entity_id))
    if len(live):
        version = live.row(-1, named=True)
        unsure = "" if version["certain"] else f" {DOUBT}"
        came = _begun_with(selected, version) or _since(changes, version)
        return f"{who} {'is' if when is None else 'was'} there {asked}: {came}.{unsure}"
    done = changes if when is None else changes.filter(pl.col("effective") <= when)
    open_ = shape.gaps.filter(holds(when, entity_id)).height > 0
    if done.is_empty() and not open_:
        return _before_first(selected, who, asked, changes)
    last = done.row(-1, named=True) if len(done) else {}
    if open_:
        before = f" Before, its {last['operation']} ended it, {_told(last)}." if last else ""
        return f"It cannot be told whether {who} was there {asked}: {_set_apart(shape, entity_id)}.{before}"
    if not last["ends"]:
        untold = f"its last {last['operation']}, {_told(last)}, left no image of it, and nothing else tells its state"
        return f"{who} was there {asked}, and the log does not tell as what: {untold}."
    words = {"TRUNCATE": "its table was emptied by TRUNCATE"}.get(last["operation"], "it was deleted")
    if last["passed_on"] is not None:
        words = f"its key was changed to {last['passed_on']}"
    return f"{who} is absent {asked}: {words}, {_told(last)}.{_again(changes, last['turn'])}"


def never_seen(selected: Selected, key: object, elsewhere: list[str], at: Moment | None = None) -> str:
    """Why an entity is absent of which the selected types have no change.

    Args:
        selected: The selection that has no such entity.
        key: The key or id as it was asked for.
        elsewhere: Types of the log, outside the selection, that know the key.
        at: The time that was asked for; one outside the coverage is said.
    """
    selected.require_states("why_not")
    recorded = selected.recorded
    types = ", ".join(map(repr, selected.entity_types)) or "no types"
    words = [f"no entity {key!r} was ever seen among {types} in this log, which covers {recorded.facts.coverage}."]
    if elsewhere:
        words.append(f"The key is known under {', '.join(map(repr, elsewhere))}.")
    partial = [name for name in selected.entity_types if name in recorded.unseen]
    if partial:
        words.append(
            f"Rows of {', '.join(partial)} that were there before the log began and never changed are not in it."
        )
    if recorded.facts.since is not None:
        words.append(f"{recorded.facts.coverage.why}: what was deleted by then is not in it.")
    elif recorded.facts.coverage.why:
        words.append(recorded.facts.coverage.also.strip())
    if recorded.facts.filters:
        words.append(f"The log was loaded with {', '.join(recorded.facts.filters)}.")
    aside = 0 if recorded.malformed is None else len(recorded.malformed)
    if aside:
        own = set_aside_of(recorded.malformed, selected.entity_types, key)
        told = f", {own:,} of them of this entity" if own else ""
        words.append(f"{aside:,} rows of the source are no changes and were set apart{told} (malformed).")
    if at is not None:
        moment = instant(at, recorded.facts.zone)
        start, end = recorded.facts.coverage.start, recorded.facts.coverage.end
        if start is None or end is None or not start <= moment <= end:
            words.append(f"{_time(moment)} is outside of that.")
    return " ".join(words)


def _of_nobody(rows: int) -> str:
    """What is said where rows of the type were set apart that do not tell whose they are."""
    told = f" Rows of its type that do not tell whose they are were set apart: {rows:,} (log.malformed)."
    return told if rows else ""


def _set_apart(shape: Shape, entity_id: str | None) -> str:
    """Which rows of an entity were set apart."""
    ids = shape.aside.filter(pl.col("entity_id") == entity_id)["id"].sort()
    more = ", ..." if len(ids) > SOME else ""
    return f"a row of it was set apart as no change (log.malformed: id {', '.join(map(str, ids[:SOME]))}{more})"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + " UTC"


def _told(change: dict[str, Any]) -> str:
    by = f"by {change['changed_by']}" if change["changed_by"] is not None else "by an unnamed user"
    number = change["transaction_id"]
    transaction = f"in transaction {number}" if number is not None else "in an unnumbered transaction"
    when, since = change["changed_at"], change["effective"]  # what counts is the log's clock, such as the commit's
    held = "" if since == when else f" (in effect from {_time(since)})"
    return f"at {_time(when)}{held} {by} {transaction} (change {change['id']})"


def _begun_with(selected: Selected, version: dict[str, Any]) -> str:
    """How a state came that was there when the log began with a snapshot of the entities; '' for others."""
    since = selected.recorded.facts.since
    if since is None or version["operation"] != "SNAPSHOT" or version["changed_at"] != since.mark.at:
        return ""
    return f"the log begins with this state, in the snapshot as of {since.mark}"


def _since(changes: pl.DataFrame, version: dict[str, Any]) -> str:
    if version["origin"] == "unknown":
        return f"it was there before its first logged change, {_told(changes.row(0, named=True))}"
    verb = "found" if version["operation"] == "SNAPSHOT" else "left"
    change = _told(changes.row(by_predicate=pl.col("position") == version["position"], named=True))
    return f"the {version['operation']} {change} {verb} it"


def _before_first(selected: Selected, who: str, asked: str, changes: pl.DataFrame) -> str:
    """What is known of an entity before its first change."""
    recorded, (entity_type,) = selected.recorded, selected.entity_types
    first = changes.row(0, named=True)
    index = recorded.shape(entity_type).span_index
    code = index.codes.find(changes["entity_id"].head(1))[0]
    if WORDS[index.before["word"][code]] == NOT_RECORDED:
        told = f"the log first has it by a {first['operation']} {_told(first)}; what was before is not in the log."
        return f"It cannot be told whether {who} was there {asked}: {told}"
    if first["operation"] == "INSERT":
        return f"{who} was not yet there {asked}: it was inserted {_told(first)}."
    if first["came_from"] is not None:
        key = f"its key was {first['came_from']} and was changed to this one"
        return f"{who} was not yet there {asked}: {key} {_told(first)}."
    own = (pl.col("entity_type") == entity_type) & (pl.col("operation") == "TRUNCATE")
    emptied = recorded.changes.filter(own & (pl.col("position") < first["position"]))
    emptied = emptied.with_columns(effective=recorded.facts.clock)
    return (
        f"{who} was not yet there {asked}: the log first has it by a {first['operation']} {_told(first)}, "
        f"after its table was emptied by TRUNCATE, {_told(emptied.row(-1, named=True))}."
    )


def _with_keys(selected: Selected, changes: pl.DataFrame) -> pl.DataFrame:
    """The changes of one entity, ``passed_on`` (the key that its row went on to) and ``came_from`` (which it had)."""
    links = selected.recorded.sequence.links.with_row_index("link").select("link", "old", "new")
    return changes.join(links, on="link", how="left", maintain_order="left").with_columns(
        passed_on=pl.when("ends").then("new"), came_from=pl.when(~pl.col("ends")).then("old")
    )


def _again(changes: pl.DataFrame, turn: int) -> str:
    later = changes.filter(pl.col("turn") > turn)
    if later.is_empty():
        return ""
    change = later.row(0, named=True)
    if change["came_from"] is not None:
        return f" Its key was taken again by the row that was {change['came_from']}, {_told(change)}."
    return f" It came back by a later {change['operation']}, {_told(change)}."
