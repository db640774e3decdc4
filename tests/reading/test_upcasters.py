"""Upcasters: old documents are read as of the current version, exactly; what cannot be read so is named."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import BadOption, UnknownEntityType, UpcastError
from auditlab.testing import make_log

Step = Callable[[dict[str, Any]], Any]

V = [{"metadata": {"schema_version": number}} for number in range(5)]
TWO_VERSIONS = [
    ("INSERT", "a", '{"name": "Ann Bee", "total": 1.10, "note": null}', V[1] | {"changed_by": "ann"}),
    ("INSERT", "b", '{"name": "Bob", "total": 12345678901234567.890}', V[1] | {"changed_by": "ann"}),
    ("UPDATE", "a", '{"first": "Ann", "last": "Bee", "total": 1.10, "note": null}', V[2] | {"changed_by": "job"}),
    ("UPDATE", "a", '{"first": "Ann", "last": "Cee", "total": 1.10, "note": null}', V[2] | {"changed_by": "cy"}),
    ("DELETE", "b", V[2]),
]


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def split_name(document: dict[str, Any]) -> dict[str, Any]:
    first, _, last = document.pop("name").partition(" ")
    return {"first": first, "last": last, **document}


def log_of(steps: list[tuple[Any, ...]], **options: object) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(make_log(steps, **options))


def upcasters_of(*steps: object, **options: object) -> al.Upcasters:
    upcasters = al.Upcasters(**options)  # type: ignore[arg-type]
    for version, step in enumerate(steps, 1):
        upcasters.register("t", version, step)  # type: ignore[arg-type]
    return upcasters


def test_every_verb_reads_the_current_version(engine: str):
    log = log_of(TWO_VERSIONS).on(engine).upcast(upcasters_of(split_name))
    assert log.fields()["field"].to_list() == ["first", "last", "total", "note"]
    assert log.as_of(id=2).select("entity_id", "first", "last").rows() == [("a", "Ann", "Bee"), ("b", "Bob", "")]
    diffs = log.diffs().filter(pl.col("entity_id") == "a").select("id", "field", "old", "new")
    assert diffs.rows() == [
        (1, "first", None, "Ann"), (1, "last", None, "Bee"), (1, "total", None, "1.10"), (1, "note", None, None),
        (4, "last", "Bee", "Cee"),
    ]  # fmt: skip
    blame = log.blame().filter(pl.col("field").is_in(["first", "last"])).select("field", "set_by", "id", "origin")
    assert blame.rows() == [("first", "ann", 1, "observed"), ("last", "cy", 4, "observed")]
    removed = log.diffs().filter(pl.col("id") == 5).select("field", "old").rows()
    assert removed == [("first", "Bob"), ("last", ""), ("total", "12345678901234567.890")]
    assert log.history()["certain"].all()


def test_what_was_recorded_stays_as_it_is():
    log = log_of(TWO_VERSIONS)
    read = log.upcast(upcasters_of(split_name))
    assert read.changes().equals(log.changes())
    assert read.drift().equals(log.drift())
    assert repr(read.evidence()) == repr(log.evidence())
    assert read.evidence().findings.equals(log.evidence().findings)
    assert "read as    t: version 2 (from 1 to 2)" in repr(read)


def test_steps_are_chained_and_each_runs_once_a_document():
    seen: list[tuple[int, dict[str, Any]]] = []

    def step(version: int) -> Step:
        def upcast(document: dict[str, Any]) -> dict[str, Any]:
            seen.append((version, dict(document)))
            return document | {f"v{version + 1}": version}

        return upcast

    steps = [("INSERT", "a", {"n": 1}, V[1]), ("UPDATE", "a", {"n": 1}, V[1]), ("UPDATE", "a", {"n": 2}, V[1])]
    steps += [("UPDATE", "a", {"n": 3}, V[2]), ("UPDATE", "a", {"n": 1}, V[3])]
    log = log_of(steps).upcast(upcasters_of(step(1), step(2)))
    assert log.history().select("n", "v2", "v3").rows() == [
        (1, 1, 2),
        (1, 1, 2),
        (2, 1, 2),
        (3, None, 2),
        (1, None, None),
    ]
    log.diffs()
    assert sorted(version for version, _ in seen) == [1, 1, 2, 2, 2]
    assert {"n": 1} in [document for _, document in seen]
    assert log.fields()["dtype"].to_list() == ["Int64"] * 3  # inferred from the documents as they are read


def test_a_function_gets_exact_values_and_what_it_leaves_alone_keeps_its_text():
    texts = '{"n": 1.10, "e": 1E+2, "i": 123456789012345678901234567890, "null": null, "s": "\\u00e9", "o": {"k":1.0}}'
    got: list[dict[str, Any]] = []

    def step(document: dict[str, Any]) -> dict[str, Any]:
        got.append(dict(document))
        return document | {"double": document["n"] * 2, "list": [document["n"], {"a": None}], "s2": document["s"]}

    log = log_of([("INSERT", "a", texts, V[1])]).upcast(upcasters_of(step))
    told = dict(log.diffs().select("field", "new").iter_rows())
    assert got == [
        {"n": Decimal("1.10"), "e": Decimal("1E+2"), "i": 123456789012345678901234567890, "null": None, "s": "é",
         "o": {"k": Decimal("1.0")}},
    ]  # fmt: skip
    assert isinstance(got[0]["i"], int)
    assert told == {
        "n": "1.10", "e": "1E+2", "i": "123456789012345678901234567890", "null": None, "s": "é", "o": '{"k":1.0}',
        "double": "2.20", "list": '[1.10, {"a": null}]', "s2": "é",
    }  # fmt: skip


def test_null_and_missing_stay_apart():
    log = log_of([("INSERT", "a", {"n": None}, V[1]), ("INSERT", "b", {}, V[1])])
    read = log.upcast(upcasters_of(lambda document: {**document, "has": "n" in document}))
    assert read.diffs().select("entity_id", "field", "new").rows() == [
        ("a", "n", None),
        ("a", "has", "true"),
        ("b", "has", "false"),
    ]


def test_nested_values_that_a_function_changes_in_place_are_changed():
    def step(document: dict[str, Any]) -> dict[str, Any]:
        document["o"]["k"] += 1
        return document

    log = log_of([("INSERT", "a", '{"o": {"k":1, "same" : 1.0}}', V[1])]).upcast(upcasters_of(step))
    assert log.diffs()["new"].to_list() == ['{"k": 2, "same": 1.0}']


def test_the_version_may_stand_in_a_field_a_column_or_an_expression():
    step = {"m": pl.col("n"), "n": None}
    fields = [("INSERT", "a", {"n": 1, "v": "1"}), ("UPDATE", "a", {"m": 1, "v": 2.0})]
    by_field = al.Upcasters("field.v")
    by_column = al.Upcasters(pl.col("correlation_id"))
    by_expression = al.Upcasters(pl.when(pl.col("changed_by") == "old app").then(1).otherwise(2))
    columns = [
        ("INSERT", "a", {"n": 1}, {"correlation_id": "1", "changed_by": "old app"}),
        ("UPDATE", "a", {"m": 1}, {"correlation_id": "2"}),
    ]
    for upcasters, steps in ((by_field, fields), (by_column, columns), (by_expression, columns)):
        upcasters.register("t", 1, step)
        log = log_of(steps).upcast(upcasters)
        assert log.diffs().filter(pl.col("field") == "m").select("id", "kind").rows() == [(1, "added")]


def test_a_before_image_has_the_version_of_what_it_shows():
    ddl = {"before_snapshot": {"first": "Bob", "last": ""}}
    steps = [
        ("INSERT", "a", {"name": "Ann Bee"}, V[1]),
        ("UPDATE", "a", {"first": "Ann", "last": "Bee"}, V[2]),  # the change itself brought it over
        ("INSERT", "b", {"name": "Bob"}, V[1]),
        ("UPDATE", "b", {"first": "Bo", "last": ""}, V[2] | ddl),  # a migration beside the log did
        ("UPDATE", "c", {"first": "C", "last": ""}, V[2] | {"before_snapshot": {"first": "c", "last": ""}}),
        ("INSERT", "d", '{"name": "Dee", "n": 1.50}', V[1]),
        ("UPDATE", "d", {"first": "Dee", "last": ""}, V[2] | {"before_snapshot": '{"n":1.5,"name":"Dee"}'}),
    ]
    log = log_of(steps).upcast(upcasters_of(split_name))
    updates = log.diffs().filter(~pl.col("id").is_in([1, 3, 6])).select("id", "field", "old", "new")
    assert updates.rows() == [(4, "first", "Bob", "Bo"), (5, "first", "c", "C"), (7, "n", "1.5", None)]
    assert log.history()["certain"].all()
    assert log_of(steps).history().filter(~pl.col("certain"))["id"].to_list() == [3]


@pytest.mark.filterwarnings("ignore::auditlab.errors.UnlinkedKeys")  # the key was taken, as far as the log tells
def test_a_row_with_another_key_has_the_version_that_it_had_under_the_old_one():
    def under(key: str, **told: str) -> dict[str, Any]:
        return {"metadata": {"schema_version": 2, **told}, "transaction_id": 9, "correlation_id": key}

    steps = [
        ("INSERT", "new", {"n": 1}, V[1]),
        ("INSERT", "old", {"n": 1}, V[2]),
        ("DELETE", "old", under("old", rekeyed_to="new")),
        ("INSERT", "new", {"n": 1}, under("old", rekeyed_from="old")),
    ]
    log = log_of(steps).upcast(upcasters_of(lambda document: document | {"up": True}))
    assert log.diffs().select("id", "field", "kind").rows() == [
        (1, "n", "added"),
        (1, "up", "added"),
        (2, "n", "added"),
    ]


def test_rows_without_a_version_take_the_default_or_are_counted():
    steps = [("INSERT", "a", {"name": "A"}), ("INSERT", "b", {"name": "B"}, {"metadata": "[1]"}), ("DELETE", "a")]
    with pytest.raises(
        UpcastError, match=r"2 changes \(id 1, 2\) of t .* without a version in metadata\.schema_version"
    ):
        log_of(steps[:2]).upcast(upcasters_of(split_name)).as_of()
    log = log_of(steps).upcast(upcasters_of(split_name, default={"t": 1}))
    assert log.as_of().select("first").rows() == [("B",)]
    known = [("INSERT", "a", {"name": "A"}, V[1]), ("DELETE", "a")]
    assert len(log_of(known).upcast(upcasters_of(split_name)).diffs()) == 4  # what it deleted, the log knows


def test_a_version_without_a_path_is_named_with_its_changes():
    steps = [("INSERT", str(n), {"n": n}, V[version]) for n, version in enumerate((0, 1, 2, 3, 4, 4, 4, 4))]
    upcasters = upcasters_of(dict, dict)
    words = (
        r"t has versions in metadata\.schema_version with no path to the current one, '3': '0': 1 change \(id 1\); "
        r"'4': 4 changes \(id 5, 6, 7, \.\.\.\)\. Registered is 1 to 2, 2 to 3\."
    )
    log = log_of(steps).upcast(upcasters)
    for ask in (log.as_of, log.history, log.diffs, log.blame, log.fields):
        with pytest.raises(UpcastError, match=words):
            ask()
    with pytest.raises(UpcastError, match=r"'3': 1 change"):
        log_of(steps[1:4]).upcast(upcasters_of(dict, dict, current=2)).as_of()
    with pytest.raises(UpcastError, match=r"\{\"a\": 1\} for a version"):
        log_of([("INSERT", "a", {}, {"metadata": {"schema_version": {"a": 1}}})]).upcast(upcasters).as_of()


def test_fields_of_versions_side_by_side_come_as_those_were_registered():
    steps = [("INSERT", str(n), {"n": n}, {"metadata": {"schema_version": f"v{n % 6}"}}) for n in range(12)]
    upcasters = al.Upcasters(current="v5")
    for version in (3, 0, 4, 1, 2):
        upcasters.register("t", f"v{version}", lambda document, own=version: {f"of {own}": 1} | document, to="v5")
    assert log_of(steps).upcast(upcasters).fields()["field"].to_list() == ["of 3", "n", "of 0", "of 4", "of 1", "of 2"]


def test_types_without_upcasters_are_read_as_recorded():
    steps = [("INSERT", "a", {"name": "A"}, V[1]), ("INSERT", "z", {"k": 1}, {"entity_type": "u"})]
    log = log_of(steps).upcast(upcasters_of(split_name))
    assert log.as_of()["state"].to_list() == ['{"first": "A", "last": ""}', '{"k": 1}']
    assert log.of("u").as_of()["k"].to_list() == [1]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda document: document["gone"], r"raised KeyError\('gone'\)\. It stands in the way of 2 changes"),
        (lambda document: None, "returned NoneType, not a dict"),  # noqa: ARG005 - a step takes a document
        (lambda document: document | {1: 2}, "returned the key 1, which is no text"),
        (lambda document: document | {"f": 0.1}, r"returned for 'f' what is no JSON: the float 0\.1 is not exact"),
        (lambda document: document | {"f": [float("nan")]}, "the float nan is not exact"),
        (lambda document: document | {"d": Decimal("NaN")}, "JSON has no number NaN"),
        (lambda document: document | {"s": {1}}, r"JSON has no set \(\{1\}\)"),
        (lambda document: document | {"o": {None: 1}}, "a key of a JSON object is a text, not None"),
        (lambda document: document | {"self": _endless()}, "nested deeper than 512 levels"),
    ],
)
def test_a_function_that_fails_is_named_with_its_documents(step: Step, words: str):
    steps = [("INSERT", "ok", {"n": 3}, V[2]), ("INSERT", "a", {"n": 1}, V[1]), ("INSERT", "b", {"n": 2}, V[1])]
    with pytest.raises(UpcastError, match=words) as caught:
        log_of(steps).upcast(upcasters_of(step)).as_of()
    assert "the step of t from version 1 to 2" in str(caught.value)
    assert "2 changes (id 2, 3)" in str(caught.value)
    if "raised" in words:
        assert isinstance(caught.value.__cause__, KeyError)


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def test_documents_nested_deep_pass_through():
    deep = "[" * 500 + "]" * 500
    log = log_of([("INSERT", "a", f'{{"deep": {deep}, "n": 1}}', V[1])])
    assert log.upcast(upcasters_of(lambda document: document)).diffs()["new"].to_list() == [deep, "1"]


def test_half_characters_pass_through():
    log = log_of([("INSERT", "a", '{"\\ud800": 1, "s": "\\udc00", "t": "x"}', V[1])])
    read = log.upcast(upcasters_of(lambda document: {**document, "t": document["s"]}))
    assert read.diffs().select("field", "new").rows() == [("\\ud800", "1"), ("s", "\\udc00"), ("t", "\\udc00")]


def test_a_registry_is_checked_when_steps_are_registered():
    upcasters = al.Upcasters()

    @upcasters.register("t", 1)
    def first(document: dict[str, Any]) -> dict[str, Any]:
        return document

    assert first({}) == {}
    upcasters.register("t", "2024-b", first, to="2025-a")
    with pytest.raises(BadOption, match="t has a step from version 1 already, to version 2"):
        upcasters.register("t", "1", first, to=9)
    with pytest.raises(BadOption, match="would go in a circle: 2 to 1 to 2"):
        upcasters.register("t", 2, first, to=1)
    with pytest.raises(BadOption, match="would go in a circle: 5 to 5"):
        upcasters.register("t", 5, first, to=5)
    with pytest.raises(BadOption, match=r"what comes after version '2024-a'\? Say to="):
        upcasters.register("t", "2024-a", first)
    for version in (True, 1.0, None):
        with pytest.raises(BadOption, match="a version is a whole number or a text"):
            upcasters.register("t", version, first)  # type: ignore[arg-type]
    for step in (1, "first", object()):
        with pytest.raises(BadOption, match="neither a function nor Polars expressions"):
            upcasters.register("t", 7, step)  # type: ignore[arg-type]
    assert repr(upcasters) == "Upcasters by metadata.schema_version: t 1 to 2, t 2024-b to 2025-a"
    with pytest.raises(BadOption, match=r"end in several versions: 2, 2025-a\. Say by Upcasters\(current=\.\.\.\)"):
        log_of(TWO_VERSIONS).upcast(upcasters)


def test_what_a_log_cannot_be_upcast_with():
    log = log_of(TWO_VERSIONS)
    with pytest.raises(BadOption, match="no upcaster is registered"):
        log.upcast(al.Upcasters())
    with pytest.raises(BadOption, match=r"upcast\(\) takes Upcasters"):
        log.upcast({"t": dict})  # type: ignore[arg-type]
    upcasters = upcasters_of(split_name)
    upcasters.register("u", 1, dict)
    with pytest.raises(UnknownEntityType, match=r"registered for 'u', which is not in this log\. It has 't'.*of\("):
        log.upcast(upcasters)
    assert log.upcast(upcasters.of("t")).as_of()["first"].to_list() == ["Ann"]
    for source in ("schema_version", "metadata.", 1, None):
        with pytest.raises(BadOption, match=r"names no place of a version\. Use 'metadata\.<key>'"):
            al.Upcasters(source)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="a log has no column 'version'"):
        al.Upcasters(pl.col("version"))
    for source in (pl.col("id") > 1, pl.col("changed_at"), pl.col("id") / 2):
        with pytest.raises(BadOption, match="a version is a whole number or a text"):
            _registered(al.Upcasters(source), log)
    with pytest.raises(BadOption, match="the expression for the version failed"):
        _registered(al.Upcasters(pl.col("metadata").str.to_integer()), log)


def _registered(upcasters: al.Upcasters, log: al.ChangeLog[pl.DataFrame]) -> None:
    upcasters.register("t", 1, split_name)
    log.upcast(upcasters).as_of()


def test_what_is_registered_later_does_not_count():
    upcasters = upcasters_of(split_name)
    log = log_of(TWO_VERSIONS).upcast(upcasters)
    upcasters.register("t", 2, dict)
    assert log.as_of()["first"].to_list() == ["Ann"]
    assert "version 2 (from 1 to 2)" in repr(log)


def test_renamed_and_upcast():
    steps = [("INSERT", "a", {"nam": "Ann Bee"}, V[1]), ("UPDATE", "a", {"first": "Ann", "surname": "Bee"}, V[2])]
    log = log_of(steps).renamed({"nam": "name"}).upcast(upcasters_of(split_name)).renamed({"surname": "last"})
    assert log.diffs().select("id", "field", "new").rows() == [(1, "first", "Ann"), (1, "last", "Bee")]
    assert repr(log).count("t: ") == 3


def test_an_upcast_that_makes_an_edit_undone_leaves_no_edit(engine: str):
    cents = [("INSERT", "a", {"cents": 199}, V[1]), ("UPDATE", "a", '{"euros": 1.990}', V[2])]
    log = log_of(cents).on(engine)
    read = log.upcast(upcasters_of(lambda document: {"euros": Decimal(document["cents"]).scaleb(-2)}))
    assert read.diffs().select("id", "new").rows() == [(1, "1.99")]
    assert read.fields().select("field", "dtype").rows() == [("euros", "Decimal(precision=38, scale=3)")]
