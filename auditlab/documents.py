"""The snapshots of a log, each split once and exactly: field -> raw JSON text, and which fields are present.

Neighbouring changes mostly repeat a document (the after image of one is the before image of the next), so each
distinct document is split once and rows refer to documents by number.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import polars as pl

from auditlab.dictionary import codes, held
from auditlab.errors import MalformedChange, SnapshotTooDeep, SnapshotTooLarge
from auditlab.flags import flags
from auditlab.layouts import Flat, split_flat
from auditlab.threads import in_pieces, side_by_side
from auditlab.values import Column, column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "DEEPEST",
    "FAULTS",
    "MOST_FIELDS",
    "Documents",
    "Split",
    "by_layout",
    "encodable",
    "no_objects",
    "raw_fields",
    "read",
    "refuse",
    "split",
    "typed",
]

DEEPEST = 512
"""Levels of nesting that a snapshot may have."""
MOST_FIELDS = 5_000
"""Fields that one entity type may have, over all its documents."""
LARGEST = 256 * 1024 * 1024
"""Bytes that one snapshot may have."""
BATCH = 50_000

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Split:
    """The distinct documents of one entity type as raw text, before any field has a type.

    Args:
        texts: String; each distinct document as recorded.
        fields: field -> String, its raw JSON text by document (null where it is missing), by first appearance.
        flags: As in :class:`Documents`, and so are ``before`` and ``after``.
        told: UInt32 by row: the number of the document of the fields that a change without an after image says it set;
            null for every other change.
    """

    texts: pl.Series
    fields: Mapping[str, pl.Series]
    flags: pl.DataFrame
    before: pl.Series
    after: pl.Series
    told: pl.Series


@dataclass(frozen=True, slots=True)
class Documents:
    """The distinct documents of one entity type.

    Args:
        texts: String; each distinct document as recorded.
        columns: One column a field, over the documents, in the order of first appearance.
        flags: doc (UInt32) and flag (String): documents that readers disagree about, such as duplicate keys.
        before: UInt32 by row: the number of the before image; null where there is none.
        after: UInt32 by row: the number of the after image; null where there is none.
        derived: Boolean by row: the after image was not recorded, but follows from what was.
    """

    texts: pl.Series
    columns: tuple[Column, ...]
    flags: pl.DataFrame
    before: pl.Series
    after: pl.Series
    derived: pl.Series


def read(before: pl.Series, after: pl.Series, kinds: Mapping[str, str], ids: pl.Series) -> Documents:
    """The images of one entity type's changes, split and typed: :func:`split`, then :func:`typed`."""
    return typed(split(before, after, ids), kinds)


def split(
    before: pl.Series,
    after: pl.Series,
    ids: pl.Series,
    told: pl.Series | None = None,
    same: pl.Series | None = None,
    faulty: Callable[[pl.DataFrame], object] | None = None,
) -> Split:
    """Split the images of one entity type's changes.

    Args:
        before: String, JSON text by row, null where there is no image.
        after: the same for the after images.
        ids: the changes' ids, for messages.
        told: the same for the fields that changes without an after image say they set; None where none does.
        same: By row, where it is known, the row whose after image is the same text as the before image (UInt32).
        faulty: Is told of images that are no documents (``FAULTS``), if there are any, in place of the error.

    Raises:
        MalformedChange: images that are no JSON objects, by kind, with the ids of their changes.
        SnapshotTooDeep: nested deeper than 512 levels.
        SnapshotTooLarge: more than 256 MiB, or more than 5,000 fields.
    """
    none = pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(ids))
    linked = none if same is None else same
    open_ = linked.is_null()
    alone = before.filter(open_)
    sides = [side.rename("image") for side in (after, alone, told) if side is not None]
    codes, texts = _number(pl.concat(sides))
    left = codes.head(len(ids))
    found = none.clone().scatter(open_.arg_true(), codes.slice(len(ids), len(alone)))
    found = found.zip_with(open_, left.gather(linked))
    numbers = [left, found, none if told is None else codes.tail(len(ids))]
    whole, left, faults = _split(texts)
    if faults:
        (refuse if faulty is None else faulty)(_found(faults, numbers, ids))
        left = left.filter(~left.is_in([number for odd in faults.values() for number in odd]))
    return Split(texts, whole.fields, flags(texts, left, whole.fields), numbers[1], numbers[0], numbers[2])


def typed(parts: Split, kinds: Mapping[str, str], derived: pl.Series | None = None) -> Documents:
    """The documents with one typed column a field.

    Args:
        parts: The split documents.
        kinds: field -> kind, as the source's catalog declares them.
        derived: By row, which after images were not recorded; None for none.
    """
    columns = side_by_side(
        lambda name: column(name, held(parts.fields, name), kinds.get(name)), list(parts.fields), len(parts.texts)
    )
    recorded = pl.repeat(value=False, n=len(parts.after), eager=True)
    derived = recorded if derived is None else derived
    return Documents(parts.texts, tuple(columns), parts.flags, parts.before, parts.after, derived)


def raw_fields(text: str) -> dict[str, str]:
    """One document's fields with their raw JSON text; of duplicate keys the last.

    Raises:
        ValueError: the text is no JSON object; the message is the kind of fault.
    """
    try:
        return {key: str(bytes(raw), "utf-8") for key, raw in _decode(text).items()}
    except msgspec.ValidationError as exc:
        raise ValueError("not an object") from exc
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    except (msgspec.DecodeError, UnicodeEncodeError):
        return dict(_pairs(text))


def by_layout(
    texts: pl.Series, wanted: pl.Series, faulty: Callable[[str, int], object]
) -> tuple[Iterator[Flat], pl.Series]:
    """Documents by layout, and the numbers of those that are split one by one.

    Of duplicate keys the last value counts. A layout may come more than once.

    Args:
        texts: Documents.
        wanted: UInt32; the numbers of those to be split, rising.
        faulty: Is told of texts that are no documents, or are nested too deep: the kind of fault, and the number.
    """
    found, left = split_flat(texts, wanted, raw_fields)
    deep = _too_deep(texts, left)
    for number in deep:
        faulty("nested too deep", number)
    left = left.filter(~left.is_in(deep)) if deep else left
    batches = (left[start : start + BATCH] for start in range(0, len(left), BATCH))
    return chain(found, chain.from_iterable(_one_by_one(texts, batch, faulty) for batch in batches)), left


def _one_by_one(texts: pl.Series, wanted: pl.Series, faulty: Callable[[str, int], object]) -> Iterator[Flat]:
    layouts: dict[tuple[str, ...], tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
    for number in wanted.to_list():
        fields: Mapping[str, Any]
        try:
            fields = _decode(texts[number])
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            try:
                fields = {key: raw.encode() for key, raw in raw_fields(texts[number]).items()}
            except ValueError as exc:
                faulty(str(exc), number)
                continue
        numbers, values = layouts[tuple(fields)]
        numbers.append(number)
        values.append(fields.values())
    for layout, (numbers, values) in layouts.items():
        cells = zip(*values, strict=True) if layout else ()
        columns = {
            name: pl.Series(list(map(bytes, raws)), dtype=pl.Binary).cast(pl.String)
            for name, raws in zip(layout, cells, strict=True)
        }
        yield Flat(pl.Series(numbers, dtype=pl.UInt32), columns)


def _number(images: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Each row's document as a number (null where there is none), and the documents in order of first appearance."""
    present = images.drop_nulls().rechunk()  # a lookup in pieces costs six times as much
    # Hashes are numbered six times faster than texts; that no two texts share one is then seen by comparing them.
    numbers, firsts = _numbered(in_pieces(_hashes, present))
    again = (firsts[numbers] != pl.int_range(len(present), dtype=pl.UInt32, eager=True)).arg_true()
    if not (present[firsts[numbers[again]]] == present[again]).all():
        numbers, firsts = _numbered(codes(present))
    if len(present) < len(images):
        none = pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(images))
        numbers = none.scatter(images.is_not_null().arg_true(), numbers)
    return numbers, present[firsts]


def _numbered(keys: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Numbers (UInt32) for equal keys by first appearance, and where each appears first."""
    firsts = keys.arg_unique()
    first = pl.Series([False]).new_from_index(0, len(keys)).scatter(firsts, values=True)
    numbers = first.cum_sum().cast(pl.UInt32) - 1
    again = (~first).arg_true()
    if len(again):
        known = pl.DataFrame({"key": keys[firsts]}).with_row_index("number")
        found = pl.DataFrame({"key": keys[again]}).join(known, on="key", how="left", maintain_order="left")
        numbers = numbers.scatter(again, found["number"])
    return numbers, firsts


def _hashes(texts: pl.Series) -> pl.Series:
    return texts.hash()


def _split(texts: pl.Series) -> tuple[Flat, pl.Series, dict[str, list[int]]]:
    """The documents as if of one layout, the numbers of those that were split one by one, and what is no document."""
    faults: dict[str, list[int]] = defaultdict(list)
    every = pl.int_range(len(texts), dtype=pl.UInt32, eager=True)
    large = texts.str.len_bytes() > LARGEST
    if large.any():
        faults["too large"] = large.arg_true().to_list()
    flats, left = by_layout(texts, every.filter(~large), lambda kind, number: faults[kind].append(number))
    groups: list[Flat] = []
    names: set[str] = set()
    for flat in flats:
        groups.append(flat)
        names.update(flat.fields)
        if len(names) > MOST_FIELDS:
            raise SnapshotTooLarge(
                f"the snapshots of one entity type have more than {MOST_FIELDS} different fields "
                f"(e.g. {list(flat.fields)[-3:]}). Are the keys values? Move that map one level down before loading.",
            )
    if len(groups) == 1 and len(groups[0].numbers) == len(texts):
        return groups[0], left, faults  # as nearly always: one layout, nothing to put together
    groups.sort(key=lambda flat: flat.numbers[0])  # fields come in the order of their first appearance
    pieces: dict[str, list[tuple[pl.Series, pl.Series]]] = defaultdict(list)
    for flat in groups:
        for name, values in flat.fields.items():
            pieces[name].append((flat.numbers, values))
    missing = pl.Series(_RAW, [None], dtype=pl.String).new_from_index(0, len(texts))
    fields = {name: missing.clone().scatter(*map(pl.concat, zip(*some, strict=True))) for name, some in pieces.items()}
    return Flat(every, fields), left, faults


_RAW = "raw"
"""What a field's texts are called on the way: Polars takes a column's name like ``^a.*$`` or ``*`` for a pattern."""


def _too_deep(texts: pl.Series, wanted: pl.Series) -> list[int]:
    brackets = texts[wanted].str.count_matches(r"[\[{]")
    return [number for number in wanted.filter(brackets > DEEPEST) if _depth(texts[number]) > DEEPEST]


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _NESTING.finditer(text):
        bracket = match[0]
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in "]}":
            depth -= 1
    return deepest


def _pairs(text: str) -> list[tuple[str, str]]:
    """A document's keys and raw values by the standard library: for what msgspec does not take."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    decoder = json.JSONDecoder(strict=False, parse_constant=refuse, parse_int=str, parse_float=str)
    blank = re.compile(r"[ \t\r\n]*")
    try:
        pairs: list[tuple[str, str]] = []
        decoder.decode(text)
        at = blank.match(text).end()  # type: ignore[union-attr]
        if text[at] != "{":
            raise ValueError("not an object")  # noqa: TRY301 - one exit for all faults
        at = blank.match(text, at + 1).end()  # type: ignore[union-attr]
        while text[at] != "}":
            key, at = decoder.raw_decode(text, at)
            start = blank.match(text, blank.match(text, at).end() + 1).end()  # type: ignore[union-attr]
            _, end = decoder.raw_decode(text, start)
            pairs.append((encodable(key), text[start:end]))
            at = blank.match(text, end).end()  # type: ignore[union-attr]
            if text[at] == ",":
                at = blank.match(text, at + 1).end()  # type: ignore[union-attr]
    except RecursionError:
        raise ValueError("nested too deep") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    except ValueError as exc:
        raise ValueError("not an object" if str(exc) == "not an object" else "not JSON") from None
    return pairs


def encodable(key: str) -> str:
    """The key; a lone surrogate, which no text column can hold, as its escape."""
    return key.encode("utf-8", "backslashreplace").decode()


FAULTS = {"kind": pl.String(), "side": pl.Int64(), "id": pl.Int64()}
"""Images that are no documents: why, where they stand (0 after, 1 before, 2 in the changed fields), of which change."""


NO_OBJECTS = ("not JSON", "not an object")
"""Faults of texts that are no objects: a load with ``strict=False`` sets those aside."""


def _found(faults: Mapping[str, list[int]], numbers: list[pl.Series], ids: pl.Series) -> pl.DataFrame:
    """``FAULTS``, from the numbers of the faulty documents by kind."""
    found = [pl.DataFrame(schema=FAULTS)]
    for kind, odd in faults.items():
        for side, docs in enumerate(numbers):
            rows = ids.filter(docs.is_in(odd).fill_null(value=False))
            found.append(pl.DataFrame({"id": rows}).select(kind=pl.lit(kind), side=pl.lit(side, pl.Int64), id="id"))
    return pl.concat(found)


def refuse(faults: pl.DataFrame) -> NoReturn:
    """Raise the error that counts changes with faulty documents (``FAULTS``) by kind and names the first of them."""
    words = []
    kinds = faults["kind"].unique(maintain_order=True).to_list()
    for kind in kinds:
        rows = faults.filter(pl.col("kind") == kind)["id"].unique(maintain_order=True)
        more = ", ..." if len(rows) > 3 else ""  # noqa: PLR2004 - three examples are enough to look
        words.append(f"{kind}: {len(rows)} (id {', '.join(map(str, rows[:3]))}{more})")
    errors = {"nested too deep": SnapshotTooDeep, "too large": SnapshotTooLarge}
    error = errors.get(kinds[0], MalformedChange) if len(kinds) == 1 else MalformedChange
    limits = f" A snapshot may be nested {DEEPEST} levels." if "nested too deep" in kinds else ""
    aside = "load the log with strict=False, which sets them aside, " if set(kinds) <= set(NO_OBJECTS) else ""
    raise error(
        f"the log holds snapshots that are no documents. {'; '.join(words)}.{limits} Mend these changes where they "
        f"come from, {aside}or ask about other entity types (log.of(...)); changes() and evidence() answer as they are."
    )


def no_objects(texts: pl.Series) -> pl.Series:
    """Those of some texts that are no JSON objects; what is only too deep or too large is one."""
    odd: list[int] = []
    small = (texts.str.len_bytes() <= LARGEST).arg_true()

    def note(kind: str, number: int) -> None:
        odd.extend([number] if kind in NO_OBJECTS else [])

    for _ in by_layout(texts, small, note)[0]:
        pass
    return texts.gather(sorted(odd))
