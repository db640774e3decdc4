"""Generated logs: a valid history raises no alarm, and every row taken out that breaks a chain is found."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import assume, given
from hypothesis import strategies as st
from soak import generated

import auditlab as al
from auditlab.testing import histories, make_log

if TYPE_CHECKING:
    from collections.abc import Sequence

SEVERE = ("error", "warning")
CHAIN = (
    "unlogged change",
    "edited change",
    "schema drift",
    "missing insert",
    "missing delete",
    "possible TRUNCATE",
    "half-logged key change",
)
DOCUMENTS = {"duplicate keys", "lone surrogate", "NUL character"}
often = generated(2_000, few=60)


def can_be_told(log: pl.DataFrame) -> bool:
    """Whether no type begins with a SNAPSHOT, which stands for a whole baseline, and the log has its transactions.

    Without those, the inner changes of nested triggers cannot be told from changes that contradict each other.
    """
    if log["transaction_id"].null_count():
        return False
    first = log.sort("id").group_by("entity_type").agg(pl.first("operation"))
    return "SNAPSHOT" not in first["operation"].to_list()


def alarms(log: al.ChangeLog) -> set[str]:
    found = log.evidence().findings
    return set(found.filter(pl.col("severity").is_in(SEVERE))["kind"])


@often
@given(histories())
def test_a_valid_history_gives_nothing_above_a_hint(frame: pl.DataFrame):
    assume(can_be_told(frame))
    assert alarms(al.from_arrow(frame)) <= DOCUMENTS


@often
@given(histories(unavailable=True, committed=True))
def test_a_valid_history_with_values_that_were_not_sent_gives_nothing_above_a_hint(frame: pl.DataFrame):
    assume(can_be_told(frame))
    assert alarms(al.from_arrow(frame)) <= DOCUMENTS


@often
@given(histories(lossy=True, unavailable=True))
def test_whatever_is_missing_the_evidence_has_a_row_for_each_finding(frame: pl.DataFrame):
    found = al.from_arrow(frame).evidence()
    for kind, count in found.findings.select("kind", "count").iter_rows():
        assert found.rows(kind).height >= count


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[tuple[Any, ...]], list[bool]]:
    """Steps of a few entities, each a transaction of its own and each another state; and which of them stay."""
    live: dict[str, dict[str, Any]] = {}
    steps: list[tuple[Any, ...]] = []
    for number in range(draw(st.integers(2, 30))):
        name = draw(st.sampled_from("abcd"))
        before = live.get(name)
        act = draw(st.sampled_from(("UPDATE", "UPDATE", "UPDATE", "DELETE", "TRUNCATE")))
        if act == "TRUNCATE" and live and draw(st.booleans()):
            live = {}
            steps.append(("TRUNCATE",))
        elif before is None:
            live[name] = {"id": name, "n": number}
            steps.append(("INSERT", name, live[name]))
        elif act == "DELETE":
            del live[name]
            steps.append(("DELETE", name))
        else:
            live[name] = {**before, draw(st.sampled_from(("n", "m"))): number}
            steps.append(("UPDATE", name, live[name]))
    return steps, draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps)))


def broken(rows: Sequence[dict[str, Any]]) -> set[int]:
    """The ids of changes that do not begin where the one before them, of those that are left, ended."""
    found: set[int] = set()
    by_entity: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["operation"] == "TRUNCATE":
            for changes in by_entity.values():
                changes.append(row)
        else:
            by_entity.setdefault(row["entity_id"], []).append(row)
    for changes in by_entity.values():
        for one, other in pairwise(changes):
            if other["operation"] != "TRUNCATE" and one["after_snapshot"] != other["before_snapshot"]:
                found.add(other["id"])
    return found


@often
@given(logs())
def test_every_row_taken_out_that_breaks_a_chain_is_found(drawn: tuple[list[tuple[Any, ...]], list[bool]]):
    steps, stay = drawn
    whole = make_log(steps)
    assert alarms(al.from_arrow(whole)) == set()
    left = whole.filter(pl.Series(stay))
    assume(left.height)
    found = al.from_arrow(left).evidence()
    severe = found.findings.filter(pl.col("severity").is_in(SEVERE))["kind"]
    told = {change for kind in CHAIN if kind in severe for change in found.rows(kind)["id"]}
    emptied = left.filter(pl.col("operation") == "TRUNCATE")["id"].min()
    certain = broken(left.to_dicts())
    assert certain <= told
    # an UPDATE or DELETE of a row never seen is suspicious only after the table was emptied
    assert all(emptied is not None and change > emptied for change in told - certain)
