"""What rows that are no changes look like, and how their log is mended: the words of ``MalformedChange``."""

from __future__ import annotations

import json
import re

import polars as pl

from auditlab.printable import printable

__all__ = ["STATUS", "recognised", "remedies"]

_LONGEST = 60
"""Characters of a value that a message shows."""

_NONE = r"^\s*(\{\s*\}|null)\s*$"
_BEFORE, _AFTER = pl.col("before_snapshot"), pl.col("after_snapshot")
_NO_BEFORE, _NO_AFTER = (side.is_null() | side.str.contains(_NONE) for side in (_BEFORE, _AFTER))

STATUS = "DELETE with a Status in place of the row"
_MISSING = "an image that is missing is null (SQL NULL), neither {} nor JSON's null"
_REMEDIES: dict[str, tuple[tuple[pl.Expr, str], ...]] = {
    "no entity id": (
        (
            pl.col("operation") == "DELETE",
            "take the entity id of a DELETE from its before image, whose row has the key",
        ),
        (pl.col("operation") != "DELETE", "take the entity id from the image, whose row has the key"),
    ),
    "INSERT without an after image": (
        (~_NO_BEFORE, "the row that an INSERT has in before_snapshot is its after image: move it to after_snapshot"),
        (_NO_BEFORE, "put the row that was inserted into after_snapshot, or the values into changed_fields"),
    ),
    "INSERT with a before image": (
        (_NO_BEFORE, _MISSING),
        (
            ~_NO_BEFORE & _NO_AFTER,
            "the row that an INSERT has in before_snapshot is its after image: move it to after_snapshot",
        ),
        (~_NO_BEFORE & ~_NO_AFTER, "there is no row before an INSERT: put null into before_snapshot"),
    ),
    "UPDATE without an after image": (
        (pl.lit(value=True), "put the row that it left into after_snapshot, or the new values into changed_fields"),
    ),
    "DELETE with an after image": (
        (_NO_AFTER, _MISSING),
        (
            ~_NO_AFTER & _NO_BEFORE,
            "the row that a DELETE has in after_snapshot is its before image: move it to before_snapshot",
        ),
        (~_NO_AFTER & ~_NO_BEFORE, "a DELETE leaves no row: put null into after_snapshot"),
    ),
    STATUS: (
        (
            pl.lit(value=True),
            "a Status of Kubernetes: put null there, in DuckDB CASE WHEN image ->> 'kind' <> 'Status' THEN image END",
        ),
    ),
    "SNAPSHOT without an after image": ((pl.lit(value=True), "put the row that was read into after_snapshot"),),
    "transaction id below 0": (
        (pl.lit(value=True), "PostgreSQL's ids are none below 0; where they are none, put null"),
    ),
}  # fmt: skip
"""Of each kind of malformed row what to do about those that meet a predicate."""

_NO_OBJECT = " is no JSON object"
_FORMS: tuple[tuple[str, str], ...] = (
    (r"\s*", f"an empty text: {_MISSING}"),
    (r"\\N", f"what COPY writes for null: {_MISSING}"),
    (r"\s*null\s*", f"JSON's null: {_MISSING}"),
    (r'\s*"(?:[^"\\]|\\.)*"\s*=>.*', "hstore: write it as JSON first, by hstore_to_json(...) on PostgreSQL"),
    (r"---.*", "YAML: write it as JSON first"),
    (
        r'\s*\[\s*\{\s*"(?:model|pk)"\s*:.*',
        "rows as Django's serializers write them: take the fields by column::jsonb -> 0 -> 'fields' on PostgreSQL",
    ),
    (
        r"\s*\[.*",
        "an array: an image is one object, a field's name to its value; in JSON Lines columns= names each by 'rows[]'",
    ),
    (
        r"\s*(?:BEGIN|COMMIT)(?: \d+)?(?: \(.*\))?\s*|\s*table .+: (?:INSERT|UPDATE|DELETE|TRUNCATE):.*",
        "text of test_decoding: let the slot write JSON, by wal2json with format-version=2",
    ),
    (r"\s*\(.*\)\s*", "a row of PostgreSQL as text: write it as JSON first, by to_jsonb(...)"),
)


def remedies(kind: str, rows: pl.DataFrame) -> str:
    r"""What a message says of the rows of one kind: an example of an odd value, and what to do.

    The example is of the first row and is cut at 60 characters, with control characters as escapes. It may be personal,
    as the values in other messages may; of a log that is masked as it is archived it is masked, too.

    Args:
        kind: One of ``malformed.KINDS``, or an image or list that is no JSON.
        rows: The canonical columns of those rows; at least one.

    >>> remedies("after_snapshot is no JSON object", pl.DataFrame({"after_snapshot": ['"n"=>"1"']}))
    ', the first is \'"n"=>"1"\', hstore: write it as JSON first, by hstore_to_json(...) on PostgreSQL'
    """
    if kind.endswith(_NO_OBJECT):
        value = rows[kind.removesuffix(_NO_OBJECT)][0]
        return f", the first is {_quoted(value)}{recognised(value)}"
    said = [words for which, words in _REMEDIES.get(kind, ()) if rows.select(which.any()).item()]
    return f": {'; '.join(said)}" if said else ""


def _quoted(text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"'{printable(cut)}'"


def recognised(text: str) -> str:
    """What a text is, if that can be told, and what to do about it."""
    try:
        inner = json.loads(text, strict=False, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        inner = None
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        return ", JSON that was encoded twice: decode it once (in Polars: .str.json_decode(pl.String))"
    for form, words in _FORMS:
        if re.fullmatch(form, text, re.DOTALL):
            return f", {words}"
    return ""
