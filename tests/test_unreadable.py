"""Images that begin like a document and are none: refused where they are asked about, or set apart."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.errors import AuditlabError, MalformedChange
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BAD = '{"n": 1'


def broken() -> pl.DataFrame:
    """A log of two types, of which one has images that are no JSON, in rows far from each other."""
    u = {"entity_type": "u"}
    steps = [("INSERT", f"e{number}", {"n": number}, u if number % 2 else {}) for number in range(12)]
    odd = [("UPDATE", f"e{number}", BAD, {"before_snapshot": {"n": number}}) for number in (0, 2, 4, 6)]
    left = [("UPDATE", "e8", {"n": 9}, {"before_snapshot": "{oops}"}), ("UPDATE", "e10", {"n": 10})]
    return make_log([*steps, *odd, *left, ("DELETE", "e1", {"before_snapshot": {"n": 1}, **u})])


def broken_lists(*, pairs: bool = False) -> pl.DataFrame:
    """The same of a log whose lists of changed fields stand in for images: new values, or ``pairs`` of old and new."""
    u = {"entity_type": "u"}
    steps = [("INSERT", f"e{number}", {"n": number}, u if number % 2 else {}) for number in range(12)]
    lists = ['{"n": [0, 2]}', BAD, '{"n": [4, 5]}'] if pairs else ['{"n": 2}', BAD, '{"n": 5}']
    told = [
        ("UPDATE", f"e{2 * number}", None, {"before_snapshot": None, "changed_fields": text})
        for number, text in enumerate(lists)
    ]
    ends = [("DELETE", f"e{number}", {"before_snapshot": {"n": left}}) for number, left in ((0, 2), (4, 5))]
    return make_log([*steps, *told, *ends])


def asked(log: al.ChangeLog[Any]) -> list[object]:
    """What some verbs answer of both types and of each; the words of an error."""
    found: list[object] = []
    for own in (log.of("u"), log, log.of("t")):
        for verb in (
            own.as_of,
            own.history,
            own.diffs,
            own.timeline,
            own.changes,
            lambda own=own: own.evidence().findings,
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    answer = verb()
                except AuditlabError as exc:
                    found.append(f"{type(exc).__name__}: {exc}")
                    continue
            found.append(answer.collect() if isinstance(answer, pl.LazyFrame) else answer)
    return found


def assert_alike(one: list[object], other: list[object]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        if isinstance(mine, pl.DataFrame) and isinstance(theirs, pl.DataFrame):
            assert_frame_equal(mine, theirs)
        else:
            assert mine == theirs


def test_a_load_that_is_not_strict_sets_images_apart_that_are_no_json():
    strict, lenient = al.from_arrow(broken()), al.from_arrow(broken(), strict=False)
    with pytest.raises(MalformedChange, match=r"no documents\. not JSON: 5 \(id 13, 14, 15, \.\.\.\)"):
        strict.as_of()
    assert strict.malformed.is_empty()
    assert lenient.malformed.select("id", "kind").rows() == [
        *((number, "after_snapshot is no JSON object") for number in (13, 14, 15, 16)),
        (17, "before_snapshot is no JSON object"),
    ]
    assert lenient.of("t").as_of()["n"].to_list() == [0, 10, 2, 4, 6, 8]
    kinds = lenient.evidence().findings["kind"].to_list()
    assert "malformed change: after_snapshot is no JSON object" in kinds
    assert "unreadable documents" not in kinds


@pytest.mark.parametrize("pairs", [True, False])
def test_a_list_of_changed_fields_that_is_no_json_is_set_apart_where_it_stands_for_an_image(*, pairs: bool):
    log = broken_lists(pairs=pairs)
    lenient = al.from_arrow(log, strict=False)
    kind = "UPDATE without an after image" if pairs else "changed_fields is no JSON object"
    assert lenient.malformed.select("id", "kind").rows() == [(14, kind)], "of pairs, none would tell the state"
    assert lenient.of("t").as_of()["n"].to_list() == [10, 2, 6, 8]
    assert lenient.of("t").diffs().filter(pl.col("id") > 12)["new"].to_list() == ["2", "5", None, None]
    assert "unreadable documents" not in lenient.evidence().findings["kind"].to_list()
    image = pl.when(pl.col("id") == 14).then(pl.lit('{"n": 3}')).otherwise("after_snapshot")
    seen = al.from_arrow(log.with_columns(image.alias("after_snapshot")), strict=False)
    assert seen.malformed.is_empty(), "an image says what the list does not"
    assert seen.of("t").as_of()["n"].to_list() == [10, 3, 6, 8]


@pytest.mark.parametrize(
    ("broken", "left_out"),
    [
        (broken, "rows of it are no changes, or copies of others"),
        (broken_lists, "changes leave out values that only other changes tell"),
    ],
    ids=["images", "lists"],
)
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("checkpointed", [True, False])
def test_an_archive_in_buckets_answers_about_the_types_that_can_be_read(
    tmp_path: Path, *, broken: Callable[[], pl.DataFrame], left_out: str, strict: bool, checkpointed: bool
):
    whole = al.from_arrow(broken(), strict=strict)
    al.from_arrow(broken()).to_archive(tmp_path / "kept")
    if checkpointed:
        assert al.checkpoint(tmp_path / "kept").left_out == {"t": left_out}
    want = asked(whole)
    assert isinstance(want[0], pl.DataFrame)
    for memory in (None, "30 kB"):
        kept = al.scan_archive(tmp_path / "kept", memory=memory, strict=strict)
        assert_alike(asked(kept), want)
