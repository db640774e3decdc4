"""Which version each document of an entity type is of: as the change's metadata, a field, or an expression says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.rowwise import is_rowwise
from auditlab.documents import raw_fields
from auditlab.errors import BadOption
from auditlab.reading.faults import Fault
from auditlab.reading.images import staged
from auditlab.schema import CHANGES
from auditlab.values import canonical

if TYPE_CHECKING:
    from auditlab.reading.images import Images

__all__ = [
    "STAGES",
    "Source",
    "Version",
    "checked_source",
    "looks_at_one",
    "source_words",
    "version_text",
    "versions",
]

Version = int | str
"""The name of a version; 2 and "2" are the same."""

Source = str | pl.Expr
"""Where a version stands: ``metadata.<key>``, ``field.<name>``, or an expression over the canonical columns."""

STAGES = 2
"""How many stages of faults there are here: no version, and what is none."""
METADATA, FIELD = "metadata.", "field."
_ODD = "\x00"
"""What stands before the text of a value that is no version."""


def version_text(version: object) -> str:
    """A version's name as text.

    Raises:
        BadOption: it is neither a whole number nor a text.
    """
    if isinstance(version, bool) or not isinstance(version, int | str):
        raise BadOption(f"a version is a whole number or a text, got {version!r}.")
    return str(version)


def checked_source(source: object) -> Source:
    """The source of versions, if it is one.

    Raises:
        BadOption: it is none, or an expression over columns that a log does not have.
    """
    if isinstance(source, pl.Expr):
        unknown = [name for name in source.meta.root_names() if name not in CHANGES]
        if unknown:
            raise BadOption(f"a log has no column {', '.join(map(repr, unknown))}. It has {', '.join(CHANGES)}.")
        return source
    if isinstance(source, str) and any(source.startswith(kind) and source != kind for kind in (METADATA, FIELD)):
        return source
    raise BadOption(
        f"version={source!r} names no place of a version. Use 'metadata.<key>', 'field.<name>' for a field of the "
        "snapshots, or a Polars expression over the canonical columns."
    )


def source_words(source: Source) -> str:
    """The source in words."""
    return source if isinstance(source, str) else str(source)


def looks_at_one(source: Source) -> bool:
    """Whether a document's version hangs on no other change than those that wrote and left it."""
    return isinstance(source, str) or is_rowwise(source)


def versions(images: Images, source: Source, default: str | None) -> tuple[Images, pl.Series]:
    """The images with no document of two versions, and each document's version (String).

    A version that changes carry (in metadata or a column) is that of the image that each of them left. A before image
    has the version of the change that left it, where it is equal to that, else its own change's.

    Args:
        images: The images.
        source: Where the version stands.
        default: The version of documents that say none.

    Raises:
        Fault: documents without a version and no default, or with something that is none, counted.
        BadOption: an expression that gives no versions.
    """
    if isinstance(source, str) and source.startswith(FIELD):
        raw = images.fields.get(source.removeprefix(FIELD))
        found = pl.repeat(None, len(images.texts), dtype=pl.String, eager=True) if raw is None else _of_values(raw)
        found = found if default is None else found.fill_null(default)
    else:
        own = _of_metadata(images.changes["metadata"], source) if isinstance(source, str) else _of_rows(images, source)
        images, found = staged(images, own if default is None else own.fill_null(default))
    _check(images, found, source_words(source))
    return images, found


def _of_values(raw: pl.Series) -> pl.Series:
    """The versions that raw JSON values say: 2, 2.0 and "2" are one; null is none."""
    distinct = raw.drop_nulls().unique()
    told = [_of_value(value) for value in distinct]
    return raw.replace_strict(distinct, pl.Series(told, dtype=pl.String), default=None, return_dtype=pl.String)


def _of_value(raw: str) -> str | None:
    if raw == "null":
        return None
    text = canonical(raw, "text")
    return text[1:] if text[0] in "ns" and raw[0] not in "tfn" else _ODD + raw


def _of_metadata(metadata: pl.Series, source: str) -> pl.Series:
    key = source.removeprefix(METADATA)
    distinct = metadata.drop_nulls().unique()
    told = [_of_document(text, key) for text in distinct]
    return metadata.replace_strict(distinct, pl.Series(told, dtype=pl.String), default=None, return_dtype=pl.String)


def _of_document(text: str, key: str) -> str | None:
    try:
        raw = raw_fields(text).get(key)
    except ValueError:
        return None  # metadata that is no object says nothing
    return None if raw is None else _of_value(raw)


def _of_rows(images: Images, source: pl.Expr) -> pl.Series:
    try:
        frame = images.changes.select(*CHANGES).select(source.alias("version"))
    except pl.exceptions.PolarsError as exc:
        raise BadOption(f"the expression for the version failed: {exc}") from exc
    found = frame.to_series()
    if not (found.dtype.is_integer() or found.dtype in (pl.String, pl.Null)):
        raise BadOption(f"the expression for the version gives {found.dtype}; a version is a whole number or a text.")
    height = len(images.changes)
    if len(found) == 1 and not (looks_at_one(source) and source.meta.root_names()):
        found = found.new_from_index(0, height)
    if len(found) != height:
        raise BadOption("the expression for the version gives not one version a change.")
    return found.cast(pl.String)


def _check(images: Images, found: pl.Series, source: str) -> None:
    if found.null_count():
        where = images.where(found.is_null())
        words = (
            f"of {images.entity_type} have images without a version in {source}. "
            "Say by Upcasters(default=...) which version those are."
        )
        raise Fault(0, {"": where}, lambda where: f"{where['']} {words}")
    odd = found.str.starts_with(_ODD)
    if odd.any():
        told = pl.DataFrame([images.places().alias("place"), found.alias("value")]).filter(odd)
        place, value = told.sort("place").row(0)
        words = (
            f"of {images.entity_type} have images with {value.removeprefix(_ODD):.60} for a version in {source}; a "
            "version is a whole number or a text."
        )
        raise Fault(1, {"": images.where(odd)}, lambda where: f"{where['']} {words}", place=images.place(place))
