"""A log with rows set aside is not silently complete: what they may have changed is not certain, or warned of."""

from __future__ import annotations

import warnings
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from dealt import asked_of
from hypothesis import given
from hypothesis import strategies as st
from same_answers import answer, assert_same, some_of
from soak import generated

import auditlab as al
from auditlab.buckets.bucketed import Bucketed, Rows
from auditlab.changelog import ChangeLog
from auditlab.errors import IncompletePopulation, MalformedChange, UndeterminedState, UnknownEntity
from auditlab.schema import CHANGES
from auditlab.testing import histories, make_log
from auditlab.testing.equality import read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROW = {"before_snapshot": None}
SIMPLE_HISTORY = [
    ("INSERT", "a", {"n": 1}),
    ("INSERT", "b", {"n": 1}),
    ("DELETE", "a", {"before_snapshot": None, "after_snapshot": {"n": 1}}),
    ("UPDATE", "b", {"n": 2}),
]
"""django-simple-history writes the row that a DELETE took as its last state."""


def loaded(steps: list[tuple[Any, ...]]) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(make_log(steps), strict=False)


def in_buckets(log: al.ChangeLog[Any], buckets: int) -> al.ChangeLog[pl.LazyFrame]:
    """The same log with its rows as they came, those set aside among them."""
    recorded = log._selected.recorded  # noqa: SLF001 - what a scanned archive would be, without the archive
    rows = pl.concat([log.changes(), recorded.malformed.select(*CHANGES)]).sort("id")
    size = int(rows.estimated_size())

    def batches(entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        for part in rows.filter(pl.col("entity_type").is_in(entity_types)).iter_slices(7):
            yield part, False

    room = -(-size * 10 // buckets)
    source = Rows(batches, len(rows), size)
    bucketed = Bucketed(source, recorded.facts, entity_types=recorded.entity_types, room=room, strict=False)
    return ChangeLog(_replaced(log, bucketed), lazy=True)


def _replaced(log: al.ChangeLog[Any], recorded: Bucketed) -> Any:  # noqa: ANN401 - a selection
    from dataclasses import replace  # noqa: PLC0415

    return replace(log._selected, recorded=recorded)  # noqa: SLF001 - as above


@pytest.fixture(params=["polars", "duckdb", "buckets", "archive"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[list[tuple[Any, ...]]], al.ChangeLog[Any]]:
    def open_(steps: list[tuple[Any, ...]]) -> al.ChangeLog[Any]:
        log = loaded(steps)
        if request.param == "buckets":
            return in_buckets(log, 3)
        if request.param == "archive":
            log.to_archive(tmp_path / "kept")
            return al.scan_archive(tmp_path / "kept", strict=False)
        return log.on(request.param)

    return open_


def rows_of(frame: Any, *names: str) -> list[tuple[Any, ...]]:  # noqa: ANN401 - lazy or not
    return frame.lazy().collect().select(*names).rows()


def test_a_state_that_a_row_set_aside_may_have_ended_is_not_certain(opened: Any):  # noqa: ANN401 - a fixture
    log = opened(SIMPLE_HISTORY)
    assert rows_of(log.as_of(), "entity_id", "certain", "n") == [("a", False, 1), ("b", True, 2)]
    assert rows_of(log.as_of(id=2), "entity_id", "certain") == [("a", True), ("b", True)]
    assert rows_of(log.as_of(id=3), "entity_id", "certain") == [("a", False), ("b", True)]
    assert rows_of(log.history(), "entity_id", "certain") == [("a", False), ("b", True), ("b", True)]
    assert rows_of(log.blame(), "entity_id", "certain") == [("a", False), ("b", True)]
    joined = log.of("t").pit_join(log.changes().select("entity_id", at="changed_at").lazy().collect())
    assert rows_of(joined, "presence", "certain") == [("live", False), ("live", True), ("live", True)]
    assert "a row of it that stood there is no change and was set apart" in log.why_not("a")
    assert "not certain" not in log.why_not("b")


def test_an_answer_that_cannot_flag_states_warns_of_rows_set_aside(opened: Any):  # noqa: ANN401 - a fixture
    log = opened(SIMPLE_HISTORY)
    start, end = log.facts.coverage.start, log.facts.coverage.end
    for ask in (lambda: log.compare(start, end), log.replay):
        with pytest.warns(UndeterminedState, match="may have changed entities in this answer: 1 of t"):
            ask()


def test_an_entity_that_a_row_set_aside_may_have_brought_is_warned_of(opened: Any):  # noqa: ANN401 - a fixture
    only_before = {"before_snapshot": {"n": 5}}
    log = opened([
        ("INSERT", "a", {"n": 1}),
        ("INSERT", "gone", {"n": 1}),
        ("DELETE", "gone"),
        ("INSERT", "gone", {"n": 2}, only_before),
        ("INSERT", "new", {"n": 2}, only_before),
        ("INSERT", "later", {"n": 2}, only_before),
        ("INSERT", "later", {"n": 3}),
    ])  # fmt: skip
    with pytest.warns(UndeterminedState, match="does not tell the state of some entities there: 2 of t"):
        assert rows_of(log.as_of(), "entity_id", "certain") == [("a", True), ("later", True)]
    with pytest.warns(UndeterminedState, match="1 of t"):
        assert rows_of(log.as_of(id=4), "entity_id") == [("a",)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows_of(log.as_of(id=3), "entity_id") == [("a",)]
    spine = pl.DataFrame({"entity_id": ["gone", "later", "a"]}).with_columns(at=pl.lit(log.facts.coverage.end))
    assert rows_of(log.of("t").pit_join(spine), "presence", "certain") == [
        ("deleted", False), ("live", True), ("live", True),
    ]  # fmt: skip
    early = spine.with_columns(at=pl.lit(log.facts.coverage.end - al.testing.logs.SECOND))
    assert rows_of(log.of("t").pit_join(early), "presence", "certain")[1] == ("not yet", False)
    with pytest.warns(UndeterminedState, match="1 of t"):
        log.of("t").pit_join(spine.with_columns(entity_id=pl.lit("new")))


def test_rows_that_do_not_tell_whose_they_are_are_warned_of_by_every_state(opened: Any):  # noqa: ANN401 - a fixture
    log = opened([*SIMPLE_HISTORY[:2], ("DELETE", None, {"before_snapshot": {"n": 1}})])
    end = log.facts.coverage.end
    one = log.entity("a")
    for ask in (log.as_of, log.blame, log.replay, log.history, lambda: log.compare(end, end), one.as_of, one.history):
        with pytest.warns(IncompletePopulation, match=r"rows of t \(1\) that do not tell whose they are"):
            ask()


def test_why_not_and_errors_name_the_rows_of_an_entity_that_were_set_aside(opened: Any):  # noqa: ANN401 - a fixture
    only_before = {"before_snapshot": {"n": 5}}
    log = opened([
        ("INSERT", "gone", {"n": 1}),
        ("DELETE", "gone"),
        ("INSERT", "gone", {"n": 2}, only_before),
        ("INSERT", "new", {"n": 2}, only_before),
        ("INSERT", "a", {"n": 2}),
        ("INSERT", None, {"n": 2}),
    ])  # fmt: skip
    told = log.why_not("gone")
    assert "It cannot be told whether t gone was there now: a row of it was set apart" in told
    assert "(log.malformed: id 3). Before, its DELETE ended it, at" in told
    assert told.endswith("Rows of its type that do not tell whose they are were set apart: 1 (log.malformed).")
    assert "is absent at" in log.why_not("gone", log.facts.coverage.start + al.testing.logs.SECOND)
    assert "3 rows of the source are no changes and were set apart, 1 of them of this entity" in log.why_not("new")


def test_an_entity_of_which_all_rows_were_set_aside_is_told_as_such(opened: Any, tmp_path: Path):  # noqa: ANN401 - a fixture
    steps = [("INSERT", "a", {"n": 1}), ("INSERT", "new", {"n": 2}, {"before_snapshot": {"n": 5}})]
    loaded(steps).to_archive(tmp_path / "dealt")
    dealt = al.scan_archive(tmp_path / "dealt", strict=False, memory="1kB")
    read = dealt.renamed({"t": {"n": "m"}})
    for ask in (opened(steps).entity, dealt.entity, read.entity, partial(dealt.entity, entity_type="t")):
        with pytest.raises(UnknownEntity, match=r"'new' among 't' .* 1 rows of it were set apart.*log\.malformed has"):
            ask("new")


def test_blame_does_not_call_unlogged_what_a_row_set_aside_may_have_logged(opened: Any):  # noqa: ANN401 - a fixture
    log = opened([
        ("INSERT", "a", {"n": 1, "m": 1}),
        ("DELETE", "a"),
        ("INSERT", "a", {"n": 1, "m": 1}, {"before_snapshot": {"n": 1, "m": 1}}),
        ("UPDATE", "a", {"n": 2, "m": 1}, {"before_snapshot": {"n": 1, "m": 1}}),
        ("UPDATE", "a", {"n": 3, "m": 1}),
    ])  # fmt: skip
    assert rows_of(log.blame(), "field", "id", "certain") == [("n", 5, True), ("m", None, False)]


def test_as_of_a_transaction_counts_what_was_set_aside_up_to_it_whosever_it_is(opened: Any):  # noqa: ANN401 - a fixture
    new = [("INSERT", f"new {number}", {"n": 2}, {"before_snapshot": {"n": 5}}) for number in range(6)]
    log = opened([("INSERT", "a", {"n": 1}), *new[:5], ("INSERT", "b", {"n": 1}), new[5]])
    with pytest.warns(UndeterminedState, match="5 of t"):
        assert rows_of(log.as_of(transaction=7), "entity_id", "certain") == [("a", True), ("b", True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows_of(log.as_of(transaction=1), "entity_id", "certain") == [("a", True)]


def test_copies_that_were_set_apart_put_nothing_in_doubt():
    changes = make_log(SIMPLE_HISTORY[:2])
    log = al.from_arrow(pl.concat([changes, changes]))
    assert len(log.malformed) == 2
    assert rows_of(log.as_of(), "certain") == [(True,), (True,)]


BROKEN: tuple[dict[str, Any], ...] = (
    {"operation": "DELETE", "after_snapshot": "{}"},
    {"before_snapshot": "null"},
    {"after_snapshot": "[1]"},
    {"entity_id": None, "operation": "UPDATE"},
    {"transaction_id": -1},
)


@st.composite
def with_faults(draw: Callable[[st.SearchStrategy[Any]], Any]) -> pl.DataFrame:
    rows = draw(histories(max_steps=16)).to_dicts()
    for row in rows:
        if row["operation"] != "TRUNCATE" and draw(st.integers(0, 5)) == 0:
            row.update(draw(st.sampled_from(BROKEN)))
    return pl.DataFrame(rows, schema=CHANGES, orient="row")


def test_a_log_with_rows_set_aside_answers_in_buckets_as_in_memory():
    turns = count()

    @generated(40, few=2)
    @given(with_faults().filter(lambda frame: len(al.from_arrow(frame, strict=False)) > 8))
    def run(frame: pl.DataFrame) -> None:
        turn = next(turns)
        log = al.from_arrow(frame, strict=False).on(("polars", "duckdb")[turn % 2])
        verbs = {name: verb for name, verb in asked_of(log).items() if "evidence" not in name}
        assert_same(log, in_buckets(log, 3), some_of(verbs, turn, one_in=6))

    run()


def test_what_was_set_aside_never_leaves_a_wrong_state_certain():
    @generated(300, few=40)
    @given(histories(max_steps=16), st.data())
    def run(frame: pl.DataFrame, data: st.DataObject) -> None:
        rows = frame.to_dicts()
        for row in rows:
            if row["operation"] != "TRUNCATE" and data.draw(st.integers(0, 4)) == 0:
                row["before_snapshot"] = "null"
        whole, log = al.from_arrow(frame), al.from_arrow(pl.DataFrame(rows, schema=CHANGES, orient="row"), strict=False)
        if len(log.entity_types) < 2:
            return  # over two types the answer has the recorded text
        last = int(log.changes()["id"].max())
        (want, _), (got, told) = (answer(one, lambda log: log.as_of(id=last)) for one in (whole, log))
        key = ("entity_type", "entity_id")
        true = {tuple(row[name] for name in key): read_document(row["state"]) for row in want.to_dicts()}
        found = {tuple(row[name] for name in key): row for row in got.to_dicts()}
        for entity, row in found.items():
            assert not row["certain"] or true.get(entity) == read_document(row["state"]), (entity, rows)
        missing = set(true) - set(found)
        assert not missing or any("does not tell the state" in words for words in told), (missing, rows)

    run()


MENDED: dict[str, tuple[dict[str, Any], str]] = {
    "the row of a DELETE": (
        {"operation": "DELETE", "after_snapshot": '{"n": 1}'},
        "the row that a DELETE has in after_snapshot is its before image: move it to before_snapshot",
    ),
    "a DELETE with both": (
        {"operation": "DELETE", "before_snapshot": '{"n": 1}', "after_snapshot": '{"n": 1}'},
        "a DELETE leaves no row: put null into after_snapshot",
    ),
    "an empty image of a DELETE": (
        {"operation": "DELETE", "before_snapshot": '{"n": 1}', "after_snapshot": "{}"},
        "an image that is missing is null (SQL NULL), neither {} nor JSON's null",
    ),
    "the row of an INSERT": (
        {"operation": "INSERT", "before_snapshot": '{"n": 1}'},
        "the row that an INSERT has in before_snapshot is its after image: move it to after_snapshot",
    ),
    "an empty image of an INSERT": (
        {"operation": "INSERT", "before_snapshot": "{}", "after_snapshot": '{"n": 1}'},
        "an image that is missing is null",
    ),
    "an INSERT with both": (
        {"operation": "INSERT", "before_snapshot": '{"n": 1}', "after_snapshot": '{"n": 1}'},
        "there is no row before an INSERT",
    ),
    "no id of a DELETE": (
        {"operation": "DELETE", "entity_id": None, "before_snapshot": '{"n": 1}'},
        "take the entity id of a DELETE from its before image",
    ),
    "JSON null": ({"before_snapshot": "null"}, "the first is 'null', JSON's null: an image that is missing is null"),
    "an empty text": ({"after_snapshot": ""}, "the first is '', an empty text: an image that is missing is null"),
    "COPY's null": ({"after_snapshot": "\\N"}, "the first is '\\N', what COPY writes for null"),
    "hstore": ({"after_snapshot": '"n"=>"1", "s"=>NULL'}, """'"n"=>"1", "s"=>NULL', hstore: write it as JSON"""),
    "YAML": ({"after_snapshot": "---\nn: 1\n"}, "'---\\nn: 1\\n', YAML: write it as JSON first"),
    "JSON twice": ({"after_snapshot": '"{\\"n\\": 1}"'}, "JSON that was encoded twice: decode it once (in Polars"),
    "a row": ({"after_snapshot": "(1,x)"}, "a row of PostgreSQL as text"),
    "an array": ({"after_snapshot": "[1]"}, "the first is '[1]', an array"),
    "something long": ({"after_snapshot": "x" * 99}, f"the first is '{'x' * 59}…'."),
    "an escape sequence": ({"after_snapshot": "\x1b[2J\u202e"}, r"the first is '\e[2J\u202e'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MENDED)
def test_the_error_says_how_the_rows_are_mended(name: str):
    row, words = MENDED[name]
    good, rows = make_log([("INSERT", "a", {"n": 1}), ("TRUNCATE",)]).to_dicts()
    odd = rows | {"entity_id": "b", "operation": "UPDATE"} | row
    with pytest.raises(MalformedChange) as caught:
        al.from_arrow(pl.DataFrame([good, odd], schema=CHANGES, orient="row"))
    assert words in str(caught.value)
