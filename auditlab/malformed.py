"""Rows of a log that are no changes: found by kind, counted, and either refused or set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.changed_fields import new_values, silent_lists, told_fields
from auditlab.documents import no_objects
from auditlab.errors import MalformedChange
from auditlab.remedies import STATUS, remedies
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

__all__ = ["COPY", "KINDS", "Images", "refuse", "split", "without_copies"]

_SHOWN = 5

_UNTOLD = "__untold"
"""The column that is true of rows whose state after them is missing, see :func:`_untold`."""

_BEFORE, _AFTER = pl.col("before_snapshot"), pl.col("after_snapshot")
_OPERATION = pl.col("operation")
_LEAVES = _OPERATION.is_in(["INSERT", "UPDATE"])
"""Changes that leave a state, and should say which."""


def _no_object(image: pl.Expr) -> pl.Expr:
    odd = pl.when(~image.str.starts_with("{")).then(image)  # hardly any: the search below takes longer
    return (~odd.str.contains(r"^[ \t\r\n]*\{")).fill_null(value=False)


def _is_status(image: pl.Expr) -> pl.Expr:
    """Whether an image is what a server of Kubernetes answers to a delete, as it, Python or ``jsonb`` writes it."""
    begins = (
        '{"kind":"Status","apiVersion":"v1"',
        '{"kind": "Status", "apiVersion": "v1"',
        '{"kind": "Status", "status": "',
    )
    return pl.any_horizontal(image.str.starts_with(words) for words in begins)


KINDS: dict[str, pl.Expr] = {
    "before_snapshot is no JSON object": _no_object(_BEFORE),
    "after_snapshot is no JSON object": _no_object(_AFTER),
    "no entity id": pl.col("entity_id").is_null() & (_OPERATION != "TRUNCATE"),
    "INSERT without an after image": (_OPERATION == "INSERT") & pl.col(_UNTOLD),
    "INSERT with a before image": (_OPERATION == "INSERT") & _BEFORE.is_not_null(),
    "UPDATE without an after image": (_OPERATION == "UPDATE") & pl.col(_UNTOLD),
    "DELETE with an after image": (_OPERATION == "DELETE") & _AFTER.is_not_null(),
    STATUS: (_OPERATION == "DELETE") & _is_status(_BEFORE),
    "SNAPSHOT without an after image": (_OPERATION == "SNAPSHOT") & _AFTER.is_null(),
    "transaction id below 0": pl.col("transaction_id") < 0,
}
"""Each kind of malformed row and how it is told. Images may be missing from a log that never has them, and where the
changed fields or the next change tell what was left; from one that has them elsewhere, else not."""


def _kind_of(tests: Mapping[str, pl.Expr]) -> pl.Expr:
    """The first of some kinds that a row is of, as ``kind``; null for a change."""
    told = (pl.when(test.fill_null(value=False)).then(pl.lit(name)) for name, test in tests.items())
    return pl.coalesce(told).alias("kind")


_KIND = _kind_of(KINDS)

COPY = "identical copy of another row"
"""The kind of a row that tells a change a second time: set aside also in a strict load, since nothing is lost."""


@dataclass(frozen=True, slots=True)
class Images:
    """What all changes of a log tell of after images that are missing.

    Args:
        recorded: The entity types of which a change has one.
        values: Those of which the changes without one list new values (``changed_fields.new_values``).
    """

    recorded: AbstractSet[str]
    values: AbstractSet[str]

    @classmethod
    def of(cls, changes: pl.DataFrame) -> Images:
        """What these changes tell, if they are all."""
        has = changes.filter(_LEAVES & _AFTER.is_not_null())["entity_type"].unique()
        return cls({*has}, new_values(lambda: [changes]))


def split(
    changes: pl.DataFrame,
    *,
    strict: bool,
    whole: bool = True,
    read: bool | None = None,
    images: Images | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are changes, and those that are not with their ``kind`` as first column (the first that fits).

    Args:
        changes: A log in the canonical columns.
        strict: Whether malformed rows are an error.
        whole: Whether all changes are there. Of a part, a missing after image is no fault: the rest may tell it.
        read: Whether to read the images, and the lists in their place, to see which are no JSON; None where not
            ``strict``. Else they are an error of the questions about their entity type, and of no other.
        images: Of a part that has all changes of its entities, what all changes tell of missing images.

    Raises:
        MalformedChange: with ``strict``, if there are any; the message counts them by kind and names first ids.
    """
    changes, copies = without_copies(changes)
    unread = _unread(changes) if (not strict if read is None else read) else {}
    kind = _kind_of(KINDS | unread) if unread else _KIND
    untold = _untold(changes, images) if whole else pl.lit(value=False)
    found = changes.with_columns(untold.alias(_UNTOLD)).select(kind).to_series()
    if found.null_count() == len(found):
        return changes, copies
    own = found.is_null()
    aside = changes.filter(~own).select(found.drop_nulls(), pl.all())
    if strict:
        refuse(aside)
    return changes.filter(own), pl.concat([aside, copies])


def _unread(changes: pl.DataFrame) -> dict[str, pl.Expr]:
    """How to tell documents that are no JSON objects though they begin like some; nothing where there are none.

    The documents are the images, and in place of one that is missing the list of changed fields.
    """
    silent = changes.select(silent_lists()).to_series()
    found = (changes["before_snapshot"], changes["after_snapshot"], changes["changed_fields"].filter(silent))
    odd = no_objects(pl.concat([texts.alias("document") for texts in found]).unique().drop_nulls())
    if odd.is_empty():
        return {}
    images = {"before_snapshot": _BEFORE, "after_snapshot": _AFTER}
    kinds = {
        f"{side} is no JSON object": _no_object(image) | image.is_in(odd.implode()) for side, image in images.items()
    }
    return kinds | {"changed_fields is no JSON object": silent_lists() & pl.col("changed_fields").is_in(odd.implode())}


def _untold(changes: pl.DataFrame, images: Images | None) -> pl.Series | pl.Expr:
    """Of which changes the state after them is missing, where their log has such states, and nothing else tells it."""
    missing = changes.select(_LEAVES & _AFTER.is_null()).to_series()
    if not missing.any():
        return pl.lit(value=False)
    images = Images.of(changes) if images is None else images
    narrow = changes.select("id", "entity_type", "entity_id", "operation", found=_BEFORE.is_not_null(), missing=missing)
    numbered = narrow.with_row_index("row").filter(pl.col("entity_type").is_in(images.recorded))
    open_ = numbered.filter("missing")
    near = numbered.join(open_.select("entity_type", "entity_id").unique(), on=["entity_type", "entity_id"], how="semi")
    near = near.sort("entity_type", "entity_id", "id", maintain_order=True)
    shows = (_OPERATION == "SNAPSHOT") | (_OPERATION.is_in(["UPDATE", "DELETE"]) & pl.col("found"))
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in ("entity_type", "entity_id"))
    left = near.filter(pl.col("missing") & ~(same & shows.shift(-1)).fill_null(value=False))
    for name in left["entity_type"].unique():
        own = (changes["entity_type"] == name) & missing
        told = told_fields(changes.filter(own), values=name in images.values)
        if told is not None:
            silent = own.arg_true().filter(told.is_null())
            left = left.filter((pl.col("entity_type") != name) | pl.col("row").is_in(silent.implode()))
    return pl.int_range(len(changes), dtype=pl.UInt32, eager=True).is_in(left["row"].implode())


def refuse(aside: pl.DataFrame) -> None:
    """Raise ``MalformedChange`` for rows with their ``kind``, unless there are none but copies."""
    faults = aside.filter(pl.col("kind") != COPY)
    if len(faults):
        raise MalformedChange(_told(faults))


def without_copies(changes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without those that say once more, in every column, what another row of the same id says; and those.

    Two exports put together, or a feed that delivers at least once, hold such copies: one change, told twice.
    """
    ids = changes["id"]
    if ids.is_sorted() and not (ids == ids.shift()).any():  # as nearly always: nothing to look up
        return changes, changes.clear().insert_column(0, pl.Series("kind", [], dtype=pl.String))
    numbered = changes.with_row_index("__row")
    repeated = numbered.filter(ids.is_duplicated())
    copies = repeated.filter(~pl.struct(*CHANGES).is_first_distinct())
    told = copies.select(pl.lit(COPY).alias("kind"), *changes.columns)
    if copies.is_empty():
        return changes, told
    return numbered.join(copies.select("__row"), on="__row", how="anti", maintain_order="left").drop("__row"), told


def _told(aside: pl.DataFrame) -> str:
    told = []
    for (kind,), rows in aside.group_by("kind", maintain_order=True):
        ids = ", ".join(map(str, rows["id"].head(_SHOWN)))
        told.append(f"{kind} in {len(rows)} rows (row id {ids}){remedies(str(kind), rows)}")
    return (
        f"the log holds rows that are no changes: {'; '.join(told)}. strict=False loads the rest and sets these aside. "
        "States that they may have changed are then not certain."
    )
