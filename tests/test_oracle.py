"""Every verb against the oracle, on both engines, over generated histories: whole frames, each cell as a value.

A soak takes other histories every time, and forty times as many.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from itertools import count, pairwise, takewhile
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from oracle_frames import assert_blame, text_fields, told
from polars.testing import assert_frame_equal
from same_answers import of_changes
from soak import generated

import auditlab as al
from auditlab import dictionary
from auditlab.errors import NoData
from auditlab.schema import FIELD_CHANGES, HISTORY, TIME
from auditlab.temporal import pit
from auditlab.temporal.timeline import TIMELINE
from auditlab.testing import Exact, Oracle, State, Version, assert_states, canonical, histories, read_document, shows
from auditlab.testing.frames import column_of
from auditlab.testing.strategies import TYPES, Database, Document

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

pytestmark = [
    pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation"),  # histories begin anywhere
    pytest.mark.filterwarnings("ignore::auditlab.errors.UnlinkedKeys"),  # rows of before may be equal but for their key
    pytest.mark.filterwarnings("ignore::auditlab.errors.UndeterminedState"),  # so are some that have no image
]

ENGINES = ("polars", "duckdb")
MORE = 40
"""How many times as many histories a soak takes."""


def profile(examples: int) -> settings:
    return generated(examples * MORE, few=examples)


KINDS = {
    "with rows lost": {"lossy": True},
    "with unavailable values": {"unavailable": True},
    "with commit times": {"committed": True},
    "with keys that change": {"rekeyed": True},
    "with keys that change, unavailable values": {"rekeyed": True, "unavailable": True},
    "with moves between partitions": {"partitioned": True},
    "with keys that change, partitions, rows lost": {"rekeyed": True, "partitioned": True, "lossy": True},
    "of after images": {"missing": "before", "rekeyed": True},
    "of before images": {"missing": "after", "rekeyed": True},
    "of inserted rows and changed fields": {"missing": "images", "rekeyed": True},
    "of changed fields": {"missing": "all"},
    "with images missing": {"missing": "some", "rekeyed": True, "partitioned": True},
    "with images missing, rows lost": {"missing": "some", "lossy": True},
}
FIXED = [name for name in HISTORY if name != "certain"]


def questions(frame: pl.DataFrame) -> Iterator[tuple[al.ChangeLog, Oracle]]:
    """The log on each engine, and the oracle of the same rows."""
    oracle = Oracle(frame.to_dicts())
    log = al.from_arrow(frame)
    for engine in ENGINES:
        yield log.on(engine), oracle


def some(values: list[int] | list[datetime], most: int = 2) -> list[int] | list[datetime]:
    """A few of the values: the first, the last, and some between."""
    ordered = sorted(set(values))
    return sorted({ordered[at * (len(ordered) - 1) // max(most - 1, 1)] for at in range(most)})


def moments(frame: pl.DataFrame, oracle: Oracle) -> list[datetime]:
    """Instants at which something happened, and one just after the first."""
    times = some(frame[oracle.clock].to_list(), 3)
    later = times[0] + timedelta(microseconds=1)
    told_from = max([times[0], *baseline(oracle).values()])
    return sorted({max(time, told_from) for time in (*times, min(later, times[-1]))})


def baseline(oracle: Oracle) -> dict[str, datetime]:
    """Of the types whose log begins with a SNAPSHOT: when. Before that, the log cannot tell."""
    first = {row["entity_type"]: row for row in reversed(oracle.rows)}
    return {name: row[oracle.clock] for name, row in first.items() if row["operation"] == "SNAPSHOT"}


def by_type(states: Mapping[tuple[str, str], State], entity_type: str) -> dict[str, State]:
    return {entity_id: state for (each, entity_id), state in states.items() if each == entity_type}


def before_their_baseline(oracle: Oracle, last: int) -> set[str]:
    """The types whose log begins with SNAPSHOTs that were read together, and not all of them up to that change."""
    found = set()
    for entity_type in {row["entity_type"] for row in oracle.rows}:
        own = [row for row in oracle.rows if row["entity_type"] == entity_type]
        first = ("SNAPSHOT", own[0]["transaction_id"], own[0]["changed_at"])
        read = takewhile(lambda row: (row["operation"], row["transaction_id"], row["changed_at"]) == first, own)  # noqa: B023 - used up here
        if max((row["id"] for row in read), default=last) > last:
            found.add(entity_type)
    return found


def agree_on_states(log: al.ChangeLog, oracle: Oracle, refused: Collection[str] = (), **moment: object) -> None:
    states = oracle.as_of(**moment)
    for asked in [log.of(entity_type) for entity_type in refused] + [log] * bool(refused):
        with pytest.raises(NoData, match=r"\(its baseline\)"):
            asked.as_of(**moment)
    if refused:
        if not (known := set(log.entity_types) - set(refused)):
            return
        log = log.of(*known)
        states = {entity: state for entity, state in states.items() if entity[0] in known}
    for entity_type in log.entity_types:
        whole = log.of(entity_type).as_of(**moment)
        assert_states(whole, by_type(states, entity_type), verbatim=True)
        names = [column.name for column in log.selected.recorded.shape(entity_type).columns]
        wanted = names[::2] if entity_type == log.entity_types[0] else []
        narrow = log.of(entity_type).as_of(**moment, fields=wanted)
        assert_frame_equal(narrow, whole.select(pl.nth(0, 1, *(2 + names.index(name) for name in wanted))))
    if len(log.entity_types) > 1:
        assert_frame_equal(log.as_of(**moment, fields=[]), log.as_of(**moment).drop("state"))
        rows = log.as_of(**moment).to_dicts()
        assert [(row["entity_type"], row["entity_id"]) for row in rows] == sorted(states)
        assert [read_document(row["state"]) for row in rows] == [states[entity] for entity in sorted(states)]


def agree_on_as_of_a_time(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        agree_on_states(log, oracle)
        for moment in moments(frame, oracle):
            agree_on_states(log, oracle, at=moment)


def agree_on_as_of_a_change(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        for each in some(frame["id"].to_list()):
            agree_on_states(log, oracle, before_their_baseline(oracle, each), id=each)
        for each in some(frame["transaction_id"].drop_nulls().to_list() or [0]):
            if each:
                last = max(row["id"] for row in oracle.rows if row["transaction_id"] == each)
                agree_on_states(log, oracle, before_their_baseline(oracle, last), transaction=each)


def agree_on_history(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        for entity_type in log.entity_types:
            versions = oracle.history(entity_type)
            shown = log.of(entity_type).history()
            assert_frame_equal(shown.select(FIXED), fixed(versions))
            assert_fields(shown, versions, text_fields(oracle))
        if len(log.entity_types) > 1:
            shown, versions = log.history(), oracle.history()
            assert_frame_equal(shown.select("entity_type", *FIXED), fixed(versions, entity_type=True))
            states = [read_document(text) for text in shown["state"]]
            assert states == [version.state for version in versions]


def fixed(versions: list[Version], *, entity_type: bool = False) -> pl.DataFrame:
    """The columns of history before the fields."""
    schema = ({"entity_type": pl.String()} if entity_type else {}) | {name: HISTORY[name] for name in FIXED}
    rows = [{name: getattr(version, name) for name in schema} for version in versions]
    return pl.DataFrame(rows, schema=schema, orient="row")


def assert_fields(shown: pl.DataFrame, versions: list[Version], texts: set[tuple[str, str]]) -> None:
    """Each cell shows its value; where a column holds more than texts, texts are told apart by their quotes."""
    own = shown.select(list(HISTORY))
    cells = shown.drop(own.columns)
    names = {name for version in versions for name in version.state}
    columns = {name: column_of(cells, name) for name in names}
    assert None not in columns.values()
    for row, version in zip(cells.to_dicts(), versions, strict=True):
        for name, column in columns.items():
            value = version.state.get(name)
            assert shows(row[column], value, verbatim=True), (name, row[column], version)
            if isinstance(row[column], str) and (version.entity_type, name) not in texts:
                assert row[column] == version.state[name].text, (name, row[column], version)


def agree_on_diffs(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        assert_frame_equal(sorted_changes(log.diffs()), told(oracle, oracle.diffs(), FIELD_CHANGES))


def sorted_changes(shown: pl.DataFrame) -> pl.DataFrame:
    return shown.sort("id", "entity_type", "entity_id", "field", maintain_order=True)


def agree_on_compare(frame: pl.DataFrame) -> None:
    net_schema = dict.fromkeys(("entity_type", "entity_id", "field", "kind", "old", "new"), pl.String())
    for log, oracle in questions(frame):
        times = moments(frame, oracle)
        for start, end in [*pairwise(times), (times[0], times[-1])]:
            net = log.compare(start, end).sort("entity_type", "entity_id", "field")
            assert_frame_equal(net, told(oracle, oracle.compare(start, end), net_schema))
            steps = sorted_changes(log.compare(start, end, steps=True))
            assert_frame_equal(steps, told(oracle, oracle.steps(start, end), FIELD_CHANGES))


def agree_on_replay(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        for moment in (None, *moments(frame, oracle)):
            states = oracle.as_of(moment)
            for entity_type in log.entity_types:
                shown = log.of(entity_type).replay(moment)
                assert_states(shown, by_type(states, entity_type), own=["entity_id"], verbatim=True)


def agree_on_blame(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        for moment in (None, *moments(frame, oracle)):
            assert_blame(log.blame(at=moment), oracle, oracle.blame(moment))


def agree_on_pit_join(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        for entity_type in log.entity_types:
            before = {change.old for change in oracle.changed}
            entities = [*sorted({*frame["entity_id"].drop_nulls(), *before}), "nobody"]
            asked = [(entity_id, moment) for moment in every_moment(frame, oracle) for entity_id in entities]
            random.Random(len(asked)).shuffle(asked)  # noqa: S311 - no secret
            asked += asked[:3]
            numbers = [f"{place:06}" for place in range(len(asked))]
            spine = pl.DataFrame(asked, schema={"who": pl.String(), "when": TIME}, orient="row")
            spine = spine.with_columns(pl.Series("entity_id", numbers))
            shown = al.pit_join(spine, log.of(entity_type), entity="who", at="when", outside="flag")
            assert_frame_equal(shown.select(spine.columns), spine)
            begun = baseline(oracle).get(entity_type, min(moment for _, moment in asked))
            want = [("outside", None) if begun > one[1] else oracle.presence(entity_type, *one) for one in asked]
            assert shown["presence"].to_list() == [word for word, _ in want]
            states = {number: state for number, (_, state) in zip(numbers, want, strict=True) if state is not None}
            own = [*spine.columns, "presence", "certain"]
            assert_states(shown.filter(pl.col("presence") == "live"), states, own=own, verbatim=True)
            absent = shown.filter(pl.col("presence") != "live").drop(*spine.columns, "presence")
            assert sum(absent.null_count().row(0)) == absent.height * absent.width


def every_moment(frame: pl.DataFrame, oracle: Oracle) -> list[datetime]:
    """Every instant at which something happened, and one microsecond to each side, inside of the coverage."""
    times = set(frame[oracle.clock].to_list())
    near = {time + step * timedelta(microseconds=1) for time in times for step in (-1, 0, 1)}
    return sorted(time for time in near if min(times) <= time <= max(times))


def agree_on_timeline(frame: pl.DataFrame) -> None:
    schema = {name: dtype for name, dtype in TIMELINE.items() if name != "operation"}
    for log, oracle in questions(frame):
        diffs = told(oracle, oracle.diffs(), schema)
        key = {name: FIELD_CHANGES[name] for name in ("id", "entity_type", "entity_id")}
        touched = oracle.touched()
        ended = {change for change, _, _ in touched}
        idle = [row for row in oracle.rows if row["operation"] == "TRUNCATE" and row["id"] not in ended]
        touched += [(row["id"], row["entity_type"], None) for row in idle]  # it ended nothing, and someone did it
        every = pl.DataFrame(touched, schema=key, orient="row")
        silent = every.join(diffs, on=every.columns, how="anti").join(frame.drop("entity_type", "entity_id"), on="id")
        want = pl.concat([diffs, silent.select(pl.exclude("operation"))], how="diagonal").select(list(schema))
        kinds = {name: TIMELINE[name] for name in ("id", "entity_id", "operation")}
        done = pl.DataFrame(oracle.operations(), schema=kinds, orient="row")
        want = want.join(done, on=["id", "entity_id"], nulls_equal=True).select(list(TIMELINE))
        assert_frame_equal(log.timeline(), want, check_row_order=False)


def agree_on_summary(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        done = [row for row in oracle.rows if row["operation"] != "SNAPSHOT"]
        summary = log.summary()
        (totals,) = summary.totals.to_dicts()
        assert totals["changes"] == len(done)
        assert totals["transactions"] == len({row["transaction_id"] for row in done} - {None})
        assert dict(summary.by_operation.select("operation", "changes").iter_rows()) == Counter(
            row["operation"] for row in done
        )


def agree_on_fields(frame: pl.DataFrame) -> None:
    for log, oracle in questions(frame):
        shown = {(row["entity_type"], row["field"]) for row in log.fields().to_dicts()}
        assert shown == {(entity_type, name) for entity_type, names in oracle.fields().items() for name in names}


VERBS = {
    agree_on_as_of_a_time: 14,
    agree_on_as_of_a_change: 10,
    agree_on_history: 40,
    agree_on_diffs: 40,
    agree_on_compare: 14,
    agree_on_replay: 14,
    agree_on_blame: 30,
    agree_on_pit_join: 30,
    agree_on_timeline: 30,
    agree_on_summary: 14,
    agree_on_fields: 30,
}
"""The verbs, and how many histories each is asked about: what is slow to ask is asked less often."""


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__.removeprefix("agree_on_"))
def test_both_engines_agree_with_the_oracle_on(verb: Callable[[pl.DataFrame], None]):
    profile(VERBS[verb])(given(histories())(verb))()


def test_a_join_by_sorting_agrees_with_the_oracle(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pit, "MEETINGS_A_SPAN", -1)
    profile(VERBS[agree_on_pit_join])(given(histories())(agree_on_pit_join))()


def test_diffs_of_values_held_by_number_agree_with_the_oracle(monkeypatch: pytest.MonkeyPatch):
    """As in a log of many changes; a field that is the same in all documents is then not compared."""
    monkeypatch.setattr(dictionary, "FEWEST", 1)
    monkeypatch.setattr(dictionary, "OFTEN", 0)
    profile(VERBS[agree_on_diffs])(given(histories())(agree_on_diffs))()


def examples_of(kind: str) -> int:
    return 2 if "missing" in KINDS[kind] else 4


def test_the_histories_are_as_many_as_promised():
    """Beside them, 300 databases are written to whose end is known without an oracle."""
    histories_ = sum(VERBS.values()) + sum(map(examples_of, KINDS))
    assert histories_ + 300 >= 500, "in every run"
    assert histories_ * MORE >= 10_000, "when soaking"


@pytest.mark.parametrize("kind", KINDS)
def test_both_engines_agree_with_the_oracle_on_every_verb_over_histories(kind: str):
    def every_verb(frame: pl.DataFrame) -> None:
        frame = of_changes(frame) if "missing" in KINDS[kind] else frame
        for verb in VERBS if len(frame) else ():
            verb(frame)

    profile(examples_of(kind))(given(histories(**KINDS[kind]))(every_verb))()


class Stamped(Database):
    """A database that numbers each state of a row: no two are equal, so the order of changes is never ambiguous."""

    stamps = count()

    def document(self) -> Document:
        return super().document() | {"stamp": str(next(self.stamps))}

    def changed(self, old: Document) -> Document:
        return super().changed(old) | {"stamp": str(next(self.stamps))}


@pytest.mark.parametrize("options", [{"unavailable": False}, {"unavailable": True}], ids=str)
def test_the_oracle_ends_where_the_database_does(options: dict[str, bool]):
    seen: Counter[str] = Counter()
    for seed in range(150):
        database = Stamped(random.Random(seed).choice, TYPES, **options)  # noqa: S311 - no secret
        database.open()
        database.numbered = True
        for _ in range(20):
            database.act()
        database.close()
        seen.update(row["operation"] for row in database.rows)
        logged = {(row["entity_type"], row["entity_id"]) for row in database.rows}
        truth = {
            entity: {name: Exact(text, canonical(json.loads(text, parse_float=Decimal))) for name, text in row.items()}
            for entity, row in database.live.items()
            if entity in logged
        }
        assert Oracle(database.rows).as_of() == truth
    assert seen.keys() == {"INSERT", "UPDATE", "DELETE", "TRUNCATE", "SNAPSHOT"}
