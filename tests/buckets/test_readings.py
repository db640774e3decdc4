"""A log in buckets that is read under other names, or through upcasters, answers as in memory."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from dealt import ENOUGH, asked_of, dealt_out
from hypothesis import given
from same_answers import assert_same, of_changes, some_of
from soak import generated

import auditlab as al
from auditlab.errors import LogTooLarge, ReadingError, UpcastError
from auditlab.testing import histories, make_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from same_answers import Verb, Verbs

pytestmark = pytest.mark.filterwarnings("error")

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with keys that change, and images missing": {"rekeyed": True, "missing": "some"},
}


def kind_of(verb: Verb) -> Verb:
    """The verb; of some errors without their words, which tell in buckets of the first one alone.

    These are documents with both names, and expressions that cannot take all documents of a version.
    """

    def asked(log: al.ChangeLog[Any]) -> Any:  # noqa: ANN401 - any answer
        try:
            return verb(log)
        except ReadingError as exc:
            if " makes " in str(exc):
                raise ReadingError(str(exc).partition(" It stands in the way of ")[0]) from exc
            if "have both, with different values" not in str(exc):
                raise
            raise ReadingError("documents have both names") from exc

    return asked


def renamings(log: al.ChangeLog[Any]) -> Verbs:
    """Ways to read a log: fields renamed, joined, swapped and renamed again, for all of it or up to a change."""
    fields = log.fields()
    names = {
        str(name): own["field"].to_list()
        for (name,), own in fields.group_by("entity_type", maintain_order=True)
        if len(own) > 1
    }
    ids, transactions = (
        log.selected.recorded.changes[name].drop_nulls().unique().sort() for name in ("id", "transaction_id")
    )
    middle = int(ids[len(ids) // 2])
    transaction = int(transactions[len(transactions) // 2]) if len(transactions) else 1
    new = {name: {own[0]: "another name"} for name, own in names.items()}
    joined = {name: {own[0]: own[-1]} for name, own in names.items()}
    swapped = {name: {own[0]: own[-1], own[-1]: own[0]} for name, own in names.items()}
    return {
        "renamed": lambda log: log.renamed(new),
        "joined": lambda log: log.renamed(joined),
        "no such field": lambda log: log.renamed({name: {"nothing": "more"} for name in names}),
        "no such transaction": lambda log: log.renamed(new, before_transaction=-7),
        "up to a change": lambda log: log.renamed(joined, before=middle),
        "swapped up to a transaction": lambda log: log.renamed(swapped, before_transaction=transaction),
        "renamed again": lambda log: log.renamed(swapped, before=middle).renamed(
            {name: {own[-1]: "last"} for name, own in names.items()}
        ),
    }


def test_a_field_that_two_names_tell_has_the_type_and_the_place_of_the_whole_log():
    steps: list[tuple[Any, ...]] = [("INSERT", f"a{n}", {"id": n, "old": n, "more": "x"}) for n in range(20)]
    steps += [("INSERT", f"b{n}", {"id": n, "new": 0.5, "last": None}) for n in range(20)]
    log = al.from_arrow(make_log(steps))
    verbs: Verbs = {
        "now": lambda log: log.renamed({"old": "new", "more": "last"}).as_of(),
        "diffs": lambda log: log.renamed({"old": "new"}).renamed({"new": "newest"}).diffs(),
        "one": lambda log: log.renamed({"old": "new"}).entity("b3").history(),
        "as recorded": lambda log: log.renamed({"old": "new"}).drift(),
        "words": repr,
    }
    assert_same(log, dealt_out(log, 5), verbs)


def test_documents_with_both_names_are_an_error_in_whichever_bucket_they_are():
    steps = [("INSERT", f"a{n}", {"id": n, "old": n}) for n in range(20)]
    for both, told in ((1, "1 change "), (9, "other parts of the log have such changes, too.")):
        odd = [("INSERT", f"b{n}", {"id": n, "old": n, "new": n + 1}) for n in range(both)]
        parts = dealt_out(al.from_arrow(make_log([*steps, *odd])), 6)
        with pytest.raises(ReadingError, match="have both, with different values") as caught:
            parts.renamed({"old": "new"}).as_of()
        assert told in str(caught.value)


def put_first(document: dict[str, Any]) -> dict[str, Any]:
    """The last field of a document before the others, and how many there are; what hangs on their order and number."""
    *others, last = document or {"": None}
    made = {last: document.get(last), f"of {len(others) + 1}": len(others)}
    return made | {name: document[name] for name in others}


def ends_in_odd(document: dict[str, Any]) -> dict[str, Any]:
    """Documents with an odd number of fields only; others are a fault that tells of them."""
    if len(document) % 2:
        raise ValueError(sorted(document))
    return document


def upcasts(log: al.ChangeLog[Any]) -> Verbs:
    """Ways to bring a log's documents to a version: by functions, by expressions, in a row, from several sides."""
    fields = log.fields().filter(pl.col("field").str.contains(r"^\w*$"))  # Polars takes some names for patterns
    names = {str(name): own["field"].to_list() for (name,), own in fields.group_by("entity_type", maintain_order=True)}

    def steps(*made: Callable[[str], Any], version: Any = None, **options: Any) -> Verb:  # noqa: ANN401
        upcasters = al.Upcasters(pl.col("id") % 3 + 1 if version is None else version, **options)
        for name in names:
            for number, step in enumerate(made, 1):
                upcasters.register(name, number, step(name), **({"to": 3} if "current" not in options else {}))
        return lambda log: log.upcast(upcasters)

    def in_a_row(*made: Callable[[str], Any], **options: Any) -> Verb:  # noqa: ANN401
        return steps(*made, current=3, **options)

    def function(step: Any) -> Callable[[str], Any]:  # noqa: ANN401
        return lambda name: step  # noqa: ARG005 - the same for every type

    def moved(name: str) -> dict[str, Any]:
        first, last = names[name][0], names[name][-1]
        return {"moved": pl.col(first), first: None, "one": pl.lit(1), "has": pl.col(last).is_null()}

    def worked_out(name: str) -> dict[str, Any]:
        first, last = names[name][0], names[name][-1]
        return {"text": pl.col(last).cast(pl.String), "other": pl.coalesce(first, last), last: pl.col(first)}

    return {
        "by functions": in_a_row(function(put_first), function(put_first)),
        "from two sides": steps(function(put_first), function(dict)),
        "by expressions": in_a_row(moved, lambda name: {"again": pl.col("moved"), "null": pl.col(names[name][0])}),
        "by both": in_a_row(moved, function(put_first)),
        "by both, the other way": in_a_row(function(put_first), worked_out),
        "worked out": in_a_row(worked_out, moved),
        "where some fail": in_a_row(function(put_first), function(ends_in_odd)),
        "without a path": steps(function(dict), version=pl.col("id") % 5),
        "without a version": steps(function(dict), version=pl.when(pl.col("id") % 4 > 0).then(pl.col("id") % 3)),
        "by a field": lambda log: steps(function(put_first), function(dict), version="field.of 3", default=3)(
            in_a_row(function(put_first), function(dict))(log)
        ),
        "twice": lambda log: in_a_row(function(dict), moved)(
            in_a_row(function(put_first), function(dict))(log)
        ).renamed({name: {"moved": "last"} for name in names}),
    }


@pytest.mark.parametrize(("ways_of", "one_in"), [(renamings, 25), (upcasts, 100)])
@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_generated_logs_are_read_in_buckets_as_in_memory(place: int, ways_of: Callable[..., Verbs], one_in: int):
    turns = count(place)

    @generated(40, few=1)
    @given(histories(max_steps=24, **list(KINDS.values())[place]).filter(lambda frame: len(frame) >= ENOUGH))
    def run(frame: pl.DataFrame) -> None:
        turn = next(turns)
        whole = al.from_arrow(of_changes(frame)).on(("polars", "duckdb")[turn % 2])
        for number, (how, read) in enumerate(some_of(ways_of(whole), place, one_in=len(KINDS)).items()):
            own = some_of(asked_of(whole), turn + number, one_in=one_in) | {"fields": lambda log: log.fields()}
            verbs = {f"{name}, {how}": kind_of(verb) for name, verb in own.items()}
            assert_same(read(whole), read(dealt_out(whole, 3)), verbs)

    run()


def test_fields_made_by_functions_have_the_order_and_the_type_of_the_whole_log():
    def added(document: dict[str, Any]) -> dict[str, Any]:
        return {f"n{document['n'] % 3}": document["n"], **document, "keys": list(document)}

    steps: list[tuple[Any, ...]] = [("INSERT", f"a{n}", {"n": n, "more": n} if n % 2 else {"n": n}) for n in range(20)]
    steps += [("INSERT", f"b{n}", {"last": n / 4, "n": n}) for n in range(10)]
    log = al.from_arrow(make_log(steps))
    upcasters = al.Upcasters(pl.when(pl.col("id") % 4 == 0).then(pl.lit("b")).otherwise(pl.lit("a")), current="c")
    upcasters.register("t", "b", added, to="c")
    upcasters.register("t", "a", added, to="c")
    verbs: Verbs = {
        "fields": lambda log: log.upcast(upcasters).fields(),
        "now": lambda log: log.upcast(upcasters).as_of(),
        "one": lambda log: log.upcast(upcasters).entity("b3").history(),
        "as recorded": lambda log: log.upcast(upcasters).drift(),
        "words": lambda log: repr(log.upcast(upcasters)),
    }
    assert_same(log, dealt_out(log, 4), verbs)


def test_expressions_see_columns_of_the_types_of_the_whole_log():
    values = ["1", "2.50", "null", "-7", '"x"', "12345678901234567890"]
    fields = ["small", "wide", "mixed", "large"]
    steps = [
        (
            "INSERT",
            f"e{n}",
            "{" + ", ".join(f'"{name}": {values[n % size]}' for name, size in zip(fields, (1, 2, 5, 6), strict=True)
                            if n % 4 or name != "wide") + "}",
        )
        for n in range(24)
    ]  # fmt: skip
    log = al.from_arrow(make_log(steps))
    made: dict[str, pl.Expr | None] = {
        "text of wide": pl.col("wide").cast(pl.String),
        "sum": pl.col("small") + pl.col("wide"),
        "is": pl.col("mixed") == "-7",
        "kept": pl.coalesce("wide", "small"),
        "large": None,
    }
    for bad in ({}, {"text of mixed": pl.col("mixed").str.to_uppercase()}, {"gone": pl.col("nothing") + 1}):
        upcasters = al.Upcasters(default=1)
        upcasters.register("t", 1, made | bad)
        upcasters.register("t", 2, {"twice": pl.col("sum") * 2, "sum": None})
        verbs = {
            "now": lambda log, own=upcasters: log.upcast(own).as_of(),
            "fields": lambda log, own=upcasters: log.upcast(own).fields(),
        }
        assert_same(log, dealt_out(log, 4), verbs)


def test_faults_of_all_buckets_are_told_together():
    def fails(document: dict[str, Any]) -> dict[str, Any]:
        if document["n"] > 3:
            raise ValueError(document)
        return document

    log = al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n % 7}) for n in range(30)]))
    versions: dict[str, pl.Expr] = {
        "a step fails": pl.lit(1),
        "versions lead nowhere": pl.col("id") % 5 + 1,
        "there is no version": pl.when(pl.col("id") % 3 > 0).then(pl.lit(1)),
    }
    for version in versions.values():
        upcasters = al.Upcasters(version)
        upcasters.register("t", 1, fails)
        whole = log.upcast(upcasters)
        with pytest.raises(UpcastError, match=r"\d+ changes \(id \d+, \d+, \d+, \.\.\.\)"):
            whole.as_of()
        assert_same(whole, dealt_out(log, 4).upcast(upcasters), {"now": lambda log: log.as_of()})
    by_field = al.Upcasters("field.n")
    by_field.register("t", 1, dict)
    odd = al.from_arrow(make_log([("INSERT", f"e{n}", {"n": 2 if n % 3 else [n]}) for n in range(30)]))
    assert_same(odd.upcast(by_field), dealt_out(odd, 4).upcast(by_field), {"now": lambda log: log.as_of()})


def test_a_version_that_hangs_on_other_changes_is_refused():
    upcasters = al.Upcasters(pl.when(pl.col("id") < pl.col("id").max()).then(1).otherwise(2))
    upcasters.register("t", 1, lambda document: document)
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(20)])), 3)
    with pytest.raises(LogTooLarge, match=r"upcast\(\) by a version .* needs all 20 changes in memory at once"):
        log.upcast(upcasters)
