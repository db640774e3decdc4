"""A log in buckets that is read under other names answers as in memory; what must see all documents says so."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from dealt import ENOUGH, asked_of, dealt_out
from hypothesis import given
from same_answers import SOAK, assert_same, generated

import auditlab as al
from auditlab.errors import LogTooLarge, ReadingError
from auditlab.testing import histories, make_log

if TYPE_CHECKING:
    import polars as pl
    from same_answers import Verb, Verbs

pytestmark = pytest.mark.filterwarnings("error")

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with keys that change, and images missing": {"rekeyed": True, "missing": "some"},
}


def kind_of(verb: Verb) -> Verb:
    """The verb; of documents with both names it is an error, which counts in buckets those of the first one alone."""

    def asked(log: al.ChangeLog[Any]) -> Any:  # noqa: ANN401 - any answer
        try:
            return verb(log)
        except ReadingError as exc:
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
    middle, transaction = int(ids[len(ids) // 2]), int(transactions[len(transactions) // 2])
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


@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_generated_logs_are_read_under_other_names_in_buckets_as_in_memory(place: int):
    turns = count(place)

    @generated(40, few=1)
    @given(histories(max_steps=24, **list(KINDS.values())[place]).filter(lambda frame: len(frame) >= ENOUGH))
    def run(frame: pl.DataFrame) -> None:
        while len(kept := al.from_arrow(frame, strict=False).changes()) < len(frame):
            frame = kept
        turn = next(turns)
        whole = al.from_arrow(frame).on(("polars", "duckdb")[turn % 2])
        verbs = list(asked_of(whole).items())
        for number, (how, read) in enumerate(renamings(whole).items()):
            step = 1 if SOAK else 25
            own = dict(verbs[(turn + number) % step :: step]) | {"fields": lambda log: log.fields()}
            assert_same(read(whole), read(dealt_out(whole, 4)), {f"{name}, {how}": kind_of(own[name]) for name in own})

    run()


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


def test_upcasters_need_all_documents_at_once_and_say_so():
    upcasters = al.Upcasters(default=1)
    upcasters.register("t", 1, lambda document: document)
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(20)])), 3)
    with pytest.raises(LogTooLarge, match=r"upcast\(\) brings all documents .* needs all 20 changes in memory at once"):
        log.upcast(upcasters)
