"""What each bucket worked out about its rows, kept on disk: every question reads it, and none works it out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.assembled import assembled
from auditlab.buckets.spill import Folder
from auditlab.buckets.types import Signature, signature
from auditlab.documents import Documents
from auditlab.values import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditlab.buckets.spill import Stored
    from auditlab.buckets.types import Types
    from auditlab.documents import Split

__all__ = ["Shelf"]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a type in a bucket: the parts of its column."""

    signature: Signature
    values: Stored
    numbers: Stored | None

    def read(self, name: str) -> Column:
        kind, _, note, strings = self.signature
        own = self.values.read()
        values = (own["typed" if "typed" in own.columns else "text"], own["text"])
        numbers = None if self.numbers is None else self.numbers.read().to_series()
        return Column(name, kind, note, strings, values, lambda: own["code"], numbers)


@dataclass(frozen=True, slots=True)
class _Documents:
    """The documents of a type in a bucket: where they stand among the bucket's, and their parts."""

    first: int
    count: int
    images: Stored
    derived: Stored
    flags: Stored
    open: tuple[Stored, Stored] | None
    """Documents whose text was left open: their numbers, and the raw texts of their fields."""
    fields: Mapping[str, _Field]


@dataclass(frozen=True, slots=True)
class _Bucket:
    rows: Stored
    aside: Stored
    texts: Stored


class Shelf:
    """The rows of each bucket in order, and its documents, split and typed. An image that is a document stands once."""

    def __init__(self) -> None:
        self._folder = Folder()
        self._buckets: dict[int, _Bucket] = {}
        self._documents: dict[tuple[int, str], _Documents] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._buckets

    def keep_rows(self, number: int, rows: pl.DataFrame, aside: pl.DataFrame, splits: Mapping[str, Split]) -> None:
        """Keep a bucket whose documents are kept.

        Args:
            number: Its number.
            rows: Its rows by id.
            aside: Those that were set apart.
            splits: The documents of its types' rows, in the order in which they were kept.
        """
        texts = pl.concat([_NO_TEXTS, *(split.texts.alias(_TEXT) for split in splits.values())])
        firsts = {name: self._documents[number, name].first for name in splits}
        told = [each for name in IMAGES for each in _told(rows, name, texts, splits, firsts)]
        frames = (rows.with_columns(told), aside, texts.to_frame())
        self._buckets[number] = _Bucket(*(self._folder.append(str(number), frame) for frame in frames))

    def rows(self, number: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
        """A bucket's rows by id, those that were set apart, and the texts of its documents."""
        bucket = self._buckets[number]
        rows, texts = bucket.rows.read(), bucket.texts.read().to_series()
        images = [pl.coalesce(name, pl.lit(texts.gather(rows[_number(name)]))).alias(name) for name in IMAGES]
        return rows.with_columns(images).drop(map(_number, IMAGES)), bucket.aside.read(), texts

    def keep_documents(
        self,
        number: int,
        entity_type: str,
        split: Split,
        derived: pl.Series,
        learned: Sequence[Column],
        *,
        first: int | None = None,
    ) -> None:
        """Keep the documents of one type.

        Args:
            number: The bucket's.
            entity_type: The type's name.
            split: The documents, completed.
            derived: By row, which after images were not recorded.
            learned: Their fields.
            first: How many documents the bucket's types before this one have; None where that is known.
        """
        file = str(number)
        images = pl.DataFrame({"before": split.before, "after": split.after})
        self._documents[number, entity_type] = _Documents(
            first=self._documents[number, entity_type].first if first is None else first,
            count=len(split.texts),
            images=self._folder.append(file, images),
            derived=self._folder.append(file, derived.to_frame()),
            flags=self._folder.append(file, split.flags),
            open=self._kept_open(file, split),
            fields={column.name: self._kept_field(file, column) for column in learned},
        )

    def documents(self, number: int, entity_type: str, types: Types, texts: pl.Series) -> Documents | None:
        """The documents of one type; None where a field's type is not any more what it was when they were kept.

        Args:
            number: The bucket's.
            entity_type: The type's name.
            types: The fields of the whole log.
            texts: What ``rows`` gives.
        """
        own = self._documents[number, entity_type]
        fields = types.fields(entity_type)
        if any(own.fields[name].signature != told for name, told in fields.items() if name in own.fields):
            return None
        columns = tuple(
            own.fields[name].read(name) if name in own.fields else types.nowhere(entity_type, name, own.count)
            for name in fields
        )
        before, after = own.images.read().get_columns()
        derived = own.derived.read().to_series()
        texts = texts.slice(own.first, own.count)
        if own.open is not None:
            numbers, raw = own.open[0].read().to_series(), own.open[1].read()
            told = {name: raw[name] for name in fields if name in own.fields}
            texts = texts.scatter(numbers, assembled(told, len(numbers)))
        return Documents(texts, columns, own.flags.read(), before, after, derived)

    def _kept_open(self, file: str, split: Split) -> tuple[Stored, Stored] | None:
        numbers = split.texts.is_null().arg_true()
        if numbers.is_empty():
            return None
        raw = pl.DataFrame({name: raw.gather(numbers) for name, raw in split.fields.items()})
        return self._folder.append(file, numbers.to_frame()), self._folder.append(file, raw)

    def _kept_field(self, file: str, column: Column) -> _Field:
        typed, text = column.values
        same = typed.dtype == pl.String and typed.equals(text, null_equal=True)
        parts = {"text": text, "code": column.coded()}
        values = pl.DataFrame(parts if same else {"typed": typed, **parts})
        numbers = None if column.numbers is None else self._folder.append(file, column.numbers.to_frame())
        return _Field(signature(column), self._folder.append(file, values), numbers)


IMAGES = ("before_snapshot", "after_snapshot")

_TEXT = "text"
_NO_TEXTS = pl.Series(_TEXT, [], dtype=pl.String)


def _number(image: str) -> str:
    """The column with the numbers of the documents that an image is."""
    return f"\x00{image}"


def _told(
    rows: pl.DataFrame, image: str, texts: pl.Series, splits: Mapping[str, Split], firsts: Mapping[str, int]
) -> tuple[pl.Series, pl.Series]:
    """An image of each row: the number of its document, and the text where it is none (a placeholder was replaced)."""
    numbers = pl.Series(_number(image), [None], dtype=pl.UInt32).new_from_index(0, len(rows))
    for name, split in splits.items():
        own = (rows["entity_type"] == name).arg_true()
        numbers = numbers.scatter(own, (split.before if image == IMAGES[0] else split.after) + firsts[name])
    told = texts.gather(numbers) == rows[image]
    frame = pl.DataFrame([numbers, rows[image], told.alias("told")])
    kept = frame.select(
        pl.when("told").then(_number(image)), pl.when(~pl.col("told").fill_null(value=False)).then(image)
    )
    return kept.to_series(0), kept.to_series(1)
