"""Upcasters by Polars expressions: all documents at once, and nothing rounded, wrapped or guessed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import BadOption, UpcastError
from auditlab.testing import make_log

if TYPE_CHECKING:
    from auditlab.reading.expressions import Expressions

MEAN = pl.col("x").mean().cast(pl.Int64)
V = [{"metadata": {"schema_version": number}} for number in range(3)]


def upcast(step: Expressions, *documents: object, recorded: object = None) -> dict[str, dict[str, str | None]]:
    """By field: the recorded text that each document (``a``, ``b``, ...) has of it after the step from version 1."""
    upcasters = al.Upcasters()
    upcasters.register("t", 1, step)
    steps: list[tuple[Any, ...]] = [
        ("INSERT", chr(97 + place), document, V[1]) for place, document in enumerate(documents)
    ]
    if recorded is not None:
        steps.append(("INSERT", "z", recorded, V[2]))
    log = al.from_arrow(make_log(steps)).upcast(upcasters)
    found: dict[str, dict[str, str | None]] = {}
    for entity, field, new in log.diffs().select("entity_id", "field", "new").iter_rows():
        found.setdefault(field, {})[entity] = new
    return found


def test_fields_that_no_expression_sets_keep_their_text():
    made = upcast([pl.col("n").alias("m")], '{"n": 1.10, "e": 1E+2, "o": {"k":1.0}, "null": null}')
    assert made == {
        "n": {"a": "1.10"},
        "e": {"a": "1E+2"},
        "o": {"a": '{"k":1.0}'},
        "null": {"a": None},
        "m": {"a": "1.10"},
    }


def test_a_field_alone_is_copied_to_the_very_text_whatever_it_holds():
    made = upcast(
        {"copy": pl.col("x"), "x": None}, '{"x": 1E+2}', '{"x": {"k":1.0}}', '{"x": null}', "{}", '{"x": "\\u00e9"}'
    )
    assert made == {"copy": {"a": "1E+2", "b": '{"k":1.0}', "c": None, "e": '"\\u00e9"'}}


def test_fields_that_change_places():
    made = upcast({"x": pl.col("y"), "y": pl.col("x")}, '{"x": 1, "y": "one"}', '{"x": 2}')
    assert made == {"x": {"a": "one"}, "y": {"a": "1", "b": "2"}}


def test_null_is_null_and_what_is_made_of_missing_fields_is_missing():
    whole = pl.concat_str("first", pl.lit(" "), "last").alias("name")
    made = upcast([whole], {"first": "A", "last": "B"}, {"first": None, "last": "B"}, {"first": "A"}, {}, {"n": 1})
    assert made["name"] == {"a": "A B", "b": None, "c": None}
    made = upcast([pl.col("n") * 2], {"n": 1}, {"n": None}, {"m": 1})
    assert made["n"] == {"a": "2", "b": None}
    made = upcast({"none": pl.lit(None), "one": pl.lit(1), "given": pl.col("n").fill_null(0)}, {"n": 1}, {})
    assert made == {
        "n": {"a": "1"},
        "none": {"a": None, "b": None},
        "one": {"a": "1", "b": "1"},
        "given": {"a": "1", "b": "0"},
    }


def test_a_field_that_only_other_versions_have_is_missing():
    made = upcast({"m": pl.col("m").fill_null("?")}, {"n": 1}, recorded={"m": "x"})
    assert made["m"] == {"a": "?", "z": "x"}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (pl.col("x").fill_null(0), "0"),
        (pl.coalesce("x", "n"), "1"),
        (pl.sum_horizontal("x", "n"), "1"),
        (pl.col("x").str.to_uppercase(), None),
        (pl.col("x").str.slice(0, 2).fill_null("?"), "?"),
        (pl.col("x").abs(), None),
        (~pl.col("x"), None),
        (pl.concat_str("x", pl.lit("y")), None),
        (pl.col("x").is_null(), "true"),
    ],
    ids=str,
)
def test_a_field_without_any_value_is_of_any_type(expression: pl.Expr, text: str | None):
    assert upcast({"made": expression}, {"x": None, "n": 1})["made"] == {"a": text}


@pytest.mark.parametrize(
    ("expression", "document", "text"),
    [
        (pl.col("x") + 1, '{"x": 9223372036854775806}', "9223372036854775807"),
        (pl.col("x") + 1, '{"x": 9223372036854775809}', "9223372036854775810"),
        (pl.col("x") * 2, '{"x": 12345678901234567.89}', "24691357802469135.78"),
        (pl.col("x").cast(pl.Decimal(38, 2)) / 100, '{"x": 199}', "1.99"),
        (pl.col("x") > 1, '{"x": 1.5}', "true"),
        (pl.col("x").str.to_uppercase(), '{"x": "a\\"é\\n"}', 'A"É\n'),
        (pl.col("x").str.to_date("%Y-%m-%d"), '{"x": "2024-02-29"}', "2024-02-29"),
        (pl.col("x").str.to_datetime("%Y-%m-%d %H:%M"), '{"x": "2024-02-29 12:30"}', "2024-02-29T12:30:00.000000"),
        (pl.from_epoch("x", "s").dt.replace_time_zone("UTC"), '{"x": 1}', "1970-01-01T00:00:01.000000+00:00"),
        (pl.struct("x", y=pl.lit(Decimal("1.50"))), '{"x": 1}', '{"x": 1, "y": 1.5}'),
        (pl.concat_list("x", pl.lit(2)), '{"x": 1}', "[1, 2]"),
        (pl.col("x").str.json_decode(pl.Struct({"k": pl.String})), '{"x": {"k": "v"}}', '{"k": "v"}'),
        (pl.col("x").replace_strict({"a": "A"}, default=None), '{"x": "a"}', "A"),
        (pl.col("x").cast(pl.Categorical), '{"x": "a"}', "a"),
    ],
    ids=str,
)
def test_exact_results_become_exact_json(expression: pl.Expr, document: str, text: str):
    assert upcast({"made": expression}, document)["made"] == {"a": text}


def test_decimals_have_no_superfluous_zeros_so_that_no_other_document_shows_in_them():
    made = upcast({"made": pl.col("x") + 1}, '{"x": 1.5}', '{"x": 0.125}', '{"x": 10}')
    assert made["made"] == {"a": "2.5", "b": "1.125", "c": "11"}


@pytest.mark.parametrize(
    ("expression", "documents", "words"),
    [
        (pl.col("x") / 100, ['{"x": 199}'], "makes Float64 for 'made': Float64 is not exact"),
        (pl.col("x") / Decimal(100), ['{"x": 199}'], "that is not exact: in wider types"),
        (pl.col("x") * Decimal("0.01"), ['{"x": 1.10}'], "that is not exact: in wider types"),
        (pl.col("x") / 3, ['{"x": 1.10}'], "that is not exact: in wider types"),
        (pl.col("x") * 10, ['{"x": 9000000000000000000}'], "that is not exact: in wider types"),
        (pl.col("x").cast(pl.String) + " EUR", ['{"x": 1.5}', '{"x": 1.25}'], "that is not exact: in wider types"),
        (pl.col("x") / 3, [f'{{"x": {"1" * 32}.123456}}', '{"x": 1.000001}'], "less than 6 digits of a decimal column"),
        (pl.col("x").str.slice(0, 2), ['{"x": {"k": 1}}'], "holds other values than strings"),
        (pl.col("x").str.slice(0, 2), ['{"x": 1}', '{"x": "a"}'], "holds other values than strings"),
        (pl.col("x").str.slice(0, 2), ['{"x": "\\ud800"}'], "holds other values than strings"),
        (pl.col("x").str.slice(0, 2), ['{"x": 1}'], r"failed for 'made', made of 'x' \(Int64\)"),
        (pl.duration(days="x"), ['{"x": 1}'], "has no counterpart in JSON"),
        (pl.from_epoch("x", "ns"), ['{"x": 1}'], "times in nanoseconds are finer"),
        (pl.col("gone") + 1, ['{"x": 1}'], r"is about 'gone': no document has such a field\. There is 'x'"),
        (pl.struct(y=pl.col("x").cast(pl.Float64)), ['{"x": 1}'], r"the float 1\.0 is not exact"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_exact_is_refused(expression: pl.Expr, documents: list[str], words: str):
    with pytest.raises(UpcastError, match=words) as caught:
        upcast({"made": expression}, *documents)
    assert "the step of t from version 1 to 2" in str(caught.value)
    assert "It stands in the way of" in str(caught.value)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ([pl.col("x").shift().alias("y")], "one document at a time"),
        ([pl.col("x").max()], "one document at a time"),
        ([pl.col("x").rank().over("y")], "one document at a time"),
        ([pl.when(pl.col("x") < pl.col("x").max()).then(1).otherwise(2).alias("y")], "one document at a time"),
        ([pl.col("x").fill_null(MEAN)], "one document at a time"),
        ([pl.col("x").cast(pl.Categorical).to_physical()], "one document at a time"),
        ([pl.col("x").cast(pl.Categorical).cat.physical() + 1], "one document at a time"),
        ([pl.col("x").is_in(pl.col("y"))], "one document at a time"),
        ([pl.col("x").fill_null(pl.col("y")).replace(pl.col("y"), pl.col("z"))], "one document at a time"),
        ([pl.col("x").map_elements(lambda x: object() and x, return_dtype=pl.String)], "one document at a time"),
        ([pl.all()], "does not say which one field it sets"),
        ([pl.col("x", "y")], "does not say which one field it sets"),
        ({"z": pl.all()}, "does not say which one field it sets"),
        ([pl.col("x"), pl.lit(1).alias("x")], "sets 'x' twice"),
        ([], "holds no expression"),
        ({}, "holds no expression"),
        (["x"], "holds 'x', which is no Polars expression"),
        ({"x": "y"}, "holds 'y', which is no Polars expression"),
        ([None], "holds None, which is no Polars expression"),
        ({1: pl.col("x")}, "maps 1, which is no field's name"),
    ],
)
def test_expressions_are_checked_when_they_are_registered(step: Any, words: str):  # noqa: ANN401 - wrong on purpose
    with pytest.raises(BadOption, match=words):
        al.Upcasters().register("t", 1, step)


def test_hostile_names_are_fields_like_others():
    names = ("", " ", "a.b", 'say "hi"', "-- x", "漢字", "^x.*$")
    document = {name: place for place, name in enumerate(names)}
    made = upcast({"sum": pl.sum_horizontal(pl.col(name) for name in names if not name.startswith("^"))}, document)
    assert made["sum"] == {"a": "15"}
    assert made["漢字"] == {"a": "5"}
