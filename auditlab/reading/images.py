"""The images of an entity type on their way from the recorded text to typed columns, and the stages they are of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import polars as pl

from auditlab import documents
from auditlab.assembled import written
from auditlab.buckets.part import ARRIVAL
from auditlab.completion import completed
from auditlab.documents import Split
from auditlab.values import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.documents import Documents

__all__ = ["DOC", "Images", "Where", "equal_values", "staged"]

DOC = f"\x00doc {uuid4().hex}"
"""The name of a helper column beside fields; a field may be called anything, but not what nobody can know."""
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Where:
    """Some changes.

    Args:
        count: How many they are.
        first: The first of their ids.
    """

    count: int
    first: tuple[int, ...]

    def __add__(self, other: Where) -> Where:
        """These changes and those of another part of the log."""
        return Where(self.count + other.count, tuple(sorted(self.first + other.first)[:EXAMPLES]))

    def __str__(self) -> str:
        """The changes counted, with the first ids."""
        more = ", ..." if self.count > len(self.first) else ""
        counted = "1 change" if self.count == 1 else f"{self.count:,} changes"
        return f"{counted} (id {', '.join(map(str, self.first))}{more})"


@dataclass(frozen=True, slots=True)
class Images:
    """The documents of one entity type on their way from the recorded text to typed columns.

    Args:
        entity_type: Its name.
        changes: The type's changes by row: the canonical columns.
        previous: UInt32 by row: the row of the change that left what this one found; null where nothing is known to
            have been left.
        fields: field -> String, its raw JSON text by document, null where it is missing.
        texts: String by document: its text, null where it was put together, or a reading made it of other fields.
        kinds: field -> kind, as the source's catalog declares them.
        before: UInt32 by row: the number of the before image; null where there is none.
        after: The same of the after image.
        told: UInt32 by row: the number of the document of the fields that a change without an after image says it set;
            null in completed images.
        derived: Boolean by row: the after image was not recorded, but follows from what was.
        merged: Boolean by row: it was put together from a state and changed fields.
    """

    entity_type: str
    changes: pl.DataFrame
    previous: pl.Series
    fields: Mapping[str, pl.Series]
    texts: pl.Series
    kinds: Mapping[str, str]
    before: pl.Series
    after: pl.Series
    told: pl.Series
    derived: pl.Series
    merged: pl.Series

    def made(self, fields: dict[str, pl.Series], touched: pl.Series, kinds: Mapping[str, str] | None = None) -> Images:
        """The same documents with other fields; ``touched`` (Boolean by document) says whose text is not as it was."""
        texts = self.texts.zip_with(~touched, pl.Series([None], dtype=pl.String))
        held = {name: raw for name, raw in fields.items() if raw.null_count() < len(raw)}
        return replace(self, fields=held, texts=texts, kinds=self.kinds if kinds is None else kinds)

    def places(self) -> pl.Series:
        """UInt32 by document: where it appears first, among all after images by row, then before images, then told."""
        numbers = pl.concat([side.alias("doc") for side in (self.after, self.before, self.told)])
        firsts = numbers.arg_unique()
        firsts = firsts.filter(numbers.gather(firsts).is_not_null())
        nowhere = pl.Series([len(numbers)], dtype=pl.UInt32).new_from_index(0, len(self.texts))
        return nowhere.scatter(numbers.gather(firsts), firsts)

    def place(self, found: int) -> tuple[int, int, int]:
        """One of ``places``, to be compared with those of other parts: which images, the id and the arrival."""
        late, row = divmod(found, len(self.changes))
        ids, arrivals = (self.changes[name] for name in ("id", ARRIVAL if ARRIVAL in self.changes.columns else "row"))
        return late, ids[row], arrivals[row]

    def where(self, docs: pl.Series) -> Where:
        """The changes that have one of these documents (Boolean by document)."""
        numbers = docs.arg_true().cast(pl.UInt32).implode()
        sides = (self.before, self.after, self.told)
        held = pl.select(pl.any_horizontal(pl.lit(side.is_in(numbers)) for side in sides)).to_series()
        held = held.fill_null(value=False)
        ids = self.changes["id"].filter(held).unique().sort()
        return Where(len(ids), tuple(ids[:EXAMPLES]))

    def documents(self) -> Documents:
        """The documents with their types; those that a reading made have a text put together from their fields."""
        parts = replace(self.split(), texts=written(self.texts, self.fields))
        return documents.typed(parts, self.kinds, self.derived)

    def completed(self, steps: pl.DataFrame) -> Images:
        """The same images with every after image that is determined; ``steps`` are the type's."""
        parts, derived, merged = completed(self.split(), self.changes, steps)
        return replace(
            self,
            fields=parts.fields,
            texts=parts.texts,
            before=parts.before,
            after=parts.after,
            told=parts.told,
            derived=derived,
            merged=merged,
        )

    def split(self) -> Split:
        """The documents as if they were recorded so; the texts of those that were made are left open (null)."""
        flags = pl.DataFrame(schema={"doc": pl.UInt32, "flag": pl.String})
        return Split(self.texts, self.fields, flags, self.before, self.after, self.told)


def staged(images: Images, own: pl.Series) -> tuple[Images, pl.Series]:
    """Tell the documents of different stages apart: the same text may mean another thing before and after a change.

    An after image is of the stage in which its change was written. A before image shows what was there: where it is
    equal to what the change before left it is of that change's stage, else of its own change's.

    Args:
        images: The images.
        own: By row: the stage in which each change was written; may be null.

    Returns:
        The images with no document in two stages, and the stage of each document.
    """
    left = pl.DataFrame({"doc": images.after.gather(images.previous), "stage": own.gather(images.previous)})
    before = pl.DataFrame({"doc": images.before, "own": own}).hstack(left.select(pl.all().name.prefix("left_")))
    open_ = before.select(
        (pl.col("own").ne_missing(pl.col("left_stage")) & (pl.col("doc") != pl.col("left_doc"))).fill_null(value=False)
    ).to_series()
    pairs = before.filter(open_).select("doc", "left_doc").unique()
    same = pairs.filter(_equal(images, pairs["doc"], pairs["left_doc"])).with_columns(same=True)
    before = before.join(same, on=["doc", "left_doc"], how="left", maintain_order="left")
    carried = pl.col("left_doc").is_not_null() & (
        (pl.col("doc") == pl.col("left_doc")) | pl.col("same").fill_null(value=False)
    )
    stages = before.select("doc", stage=pl.when(carried).then("left_stage").otherwise("own"))
    written = [pl.DataFrame({"doc": image, "stage": own}) for image in (images.after, images.told)]
    stages = pl.concat([stages, *written])
    return _parted(images, stages)


def _parted(images: Images, stages: pl.DataFrame) -> tuple[Images, pl.Series]:
    """The images with one document for each pair of a document and a stage; ``stages``: of before, after and told."""
    pairs = stages.filter(pl.col("doc").is_not_null()).unique().sort("doc", "stage")
    if len(pairs) == len(images.texts):
        return images, pairs["stage"]
    numbers = stages.join(
        pairs.with_row_index("number"), on=["doc", "stage"], how="left", nulls_equal=True, maintain_order="left"
    )["number"].cast(pl.UInt32)
    docs, rows = pairs["doc"], len(images.before)
    parted = replace(
        images,
        fields={name: raw.gather(docs) for name, raw in images.fields.items()},
        texts=images.texts.gather(docs),
        before=numbers[:rows],
        after=numbers[rows : 2 * rows],
        told=numbers[2 * rows :],
    )
    return parted, pairs["stage"]


def _equal(images: Images, one: pl.Series, other: pl.Series) -> pl.Series:
    """Boolean: whether each two documents (by number) are equal as values."""
    same = pl.repeat(value=True, n=len(one), eager=True)
    for name, raw in images.fields.items():
        pair = pl.DataFrame({"one": raw.gather(one), "other": raw.gather(other)})
        alike = pair["one"].eq_missing(pair["other"])
        left = same & ~alike & pair["one"].is_not_null() & pair["other"].is_not_null()
        if left.any():
            alike |= left & equal_values(pair["one"], pair["other"], images.kinds.get(name))
        same &= alike
    return same


def equal_values(one: pl.Series, other: pl.Series, kind: str | None) -> pl.Series:
    """Boolean: whether each two raw JSON texts are the same value; true where either is null."""
    pairs = pl.DataFrame({"one": one, "other": other})
    distinct = pairs.filter(pl.col("one") != pl.col("other")).unique()
    same = [canonical(a, kind) == canonical(b, kind) for a, b in distinct.iter_rows()]
    told = distinct.with_columns(pl.Series("same", same, dtype=pl.Boolean))
    return pairs.join(told, on=["one", "other"], how="left", maintain_order="left")["same"].fill_null(value=True)
