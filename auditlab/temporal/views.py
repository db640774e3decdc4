"""How changed fields are shown: by path, without what is ignored, within a tolerance. The evidence stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.errors import BadOption
from auditlab.temporal.nested import Part, differences
from auditlab.temporal.patterns import Pattern, Patterns, by_type, patterns
from auditlab.temporal.tolerance import Tolerance, tolerances, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["View", "view", "with_path"]

_PARTS = {
    "part": pl.UInt32(),
    "path": pl.String(),
    "kind": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
}


def with_path(schema: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """The columns with ``path`` behind ``field``."""
    found: dict[str, pl.DataType] = {}
    for name, dtype in schema.items():
        found[name] = dtype
        if name == "field":
            found["path"] = pl.String()
    return found


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of changed fields.

    Args:
        paths: Whether nested values are told part by part.
        ignored: By entity type, the fields and parts that make no row.
        near: What numbers may differ by; the first pattern that holds a part decides.
        list_keys: The lists whose elements are matched by a key, and the key.
        kinds: By entity type and field, the kind that the source's catalog declares.
    """

    paths: bool
    ignored: Mapping[str, tuple[Pattern, ...]]
    near: tuple[tuple[Pattern, Decimal], ...]
    list_keys: tuple[tuple[Pattern, str], ...]
    kinds: Mapping[str, Mapping[str, str]]

    @property
    def plain(self) -> bool:
        """Whether it shows every row as it is."""
        return not (self.paths or self.near or any(self.ignored.values()))

    def of(self, rows: pl.DataFrame, shape: Shape) -> pl.DataFrame:
        """What is shown of the changed fields of one entity type.

        Args:
            rows: With ``field``, ``kind``, ``old`` and ``new``, and whatever else; the order is kept.
            shape: The type's derived tables.
        """
        if self.plain:
            return rows
        ignored = self.ignored.get(shape.entity_type, ())
        whole = [column.name for column in shape.columns if any(_is_whole(each, column.name) for each in ignored)]
        rows = rows.filter(~pl.col("field").is_in(whole)) if whole else rows
        rows = rows.with_row_index("row")
        nested = self._nested(rows, shape)
        texts = [column.name for column in shape.columns if column.strings]
        flat = rows.join(nested, on="row", how="anti", maintain_order="left") if len(nested) else rows
        flat = flat.with_columns(path=pl.lit(""), part=pl.lit(0, dtype=pl.UInt32), number=~pl.col("field").is_in(texts))
        shown = self._within_rules(flat, ignored)
        if nested.is_empty():
            return shown.drop("row", "part", "number", *([] if self.paths else ["path"]))
        parts = self._by_parts(nested, shape.entity_type).with_columns(number=pl.lit(value=True))
        shown = pl.concat([shown, self._within_rules(parts, ignored)], how="diagonal")
        if self.paths:
            return shown.sort("row", "part").drop("row", "part", "number")
        return rows.join(shown, on="row", how="semi", maintain_order="left").drop("row")

    def _nested(self, rows: pl.DataFrame, shape: Shape) -> pl.DataFrame:
        """The rows to look into: both values nested, and something asked about their parts."""
        names = [
            column.name
            for column in shape.columns
            if column.kind in ("json", "mixed")
            and (
                self.paths
                or any(each.tokens and each.names(column.name) for each in self.ignored.get(shape.entity_type, ()))
                or any(each.names(column.name) for each, _ in self.near)
            )
        ]
        both = pl.all_horizontal(pl.col("old", "new").str.contains(r"^[\[{]").fill_null(value=False))
        return rows.filter(pl.col("field").is_in(names)).filter(both) if names else rows.clear()

    def _by_parts(self, nested: pl.DataFrame, entity_type: str) -> pl.DataFrame:
        """The rows by part; each pair of values is read once, however many rows have it."""
        pairs = nested.select("field", "old", "new").unique(maintain_order=True)
        told: list[tuple[Any, ...]] = []
        for pair, (field, old, new) in enumerate(pairs.iter_rows()):
            kind = self.kinds.get(entity_type, {}).get(field)
            list_key = partial(self._list_key, field) if self.list_keys else None
            parts = differences(old, new, kind, list_key=list_key) or [Part("", "modified", old, new)]
            told += [(pair, at, part.path, part.kind, part.old, part.new) for at, part in enumerate(parts)]
        found = pl.DataFrame(told, schema={"pair": pl.UInt32, **_PARTS}, orient="row")
        present = {"old_present": pl.col("old").is_not_null(), "new_present": pl.col("new").is_not_null()}
        kept = {name: found_in for name, found_in in present.items() if name in nested.columns}
        null = pl.col("old", "new").replace("null", None)  # as in every row: null, and present
        numbered = pairs.with_row_index("pair").rename({"old": "whole_old", "new": "whole_new"})
        keys = {"left_on": ["field", "old", "new"], "right_on": ["field", "whole_old", "whole_new"]}
        rows = nested.join(numbered, how="left", maintain_order="left", **keys)  # type: ignore[arg-type]
        rows = rows.drop("kind", "old", "new", *kept).join(found, on="pair", how="inner", maintain_order="left")
        return rows.with_columns(**kept).with_columns(null).drop("pair")

    def _list_key(self, field: str, path: str) -> str | None:
        return next((key for pattern, key in self.list_keys if pattern.is_at(field, path)), None)

    def _within_rules(self, rows: pl.DataFrame, ignored: tuple[Pattern, ...]) -> pl.DataFrame:
        """The rows that are neither ignored nor within the tolerance."""
        if ignored:
            rows = rows.filter(~_where(rows, lambda field, path: any(each.holds(field, path) for each in ignored)))
        if not self.near:
            return rows
        decides = _where(rows, self._deciding, pl.UInt32())
        near = pl.Series([False]).new_from_index(0, rows.height)
        for place, (_, most) in enumerate(self.near):
            own = (decides == place).fill_null(value=False) & rows["number"]
            if own.any():
                near |= own & within(rows["old"], rows["new"], most)
        return rows.filter(~near)

    def _deciding(self, field: str, path: str) -> int | None:
        return next((place for place, (pattern, _) in enumerate(self.near) if pattern.holds(field, path)), None)


def view(
    selected: Selected,
    *,
    paths: bool = False,
    ignore: Patterns = (),
    tolerance: Tolerance | None = None,
    list_keys: Mapping[str, str] | None = None,
) -> View:
    """What is to be shown of the changed fields of a selection.

    Args:
        selected: The log, or a part of it.
        paths: Tell nested values part by part.
        ignore: What makes no row: a field, a part of one, or several, for all types or for each. A text that is a
            field's name means that field; else it is a field and a JSON Pointer into it, with ``*`` for any field, any
            key and any place in a list: ``"payload/meta"``, ``"lines/*/seen_at"``, ``"*/etag"``.
        tolerance: Two JSON numbers that differ by this at the most make no row: a number, or one for each field or
            path. A float is taken as it prints. Digits in a text are no number.
        list_keys: For lists of objects, the key by which they are matched instead of by their whole value:
            ``{"lines": "id", "lines/*/parts": "sku"}``.

    Raises:
        UnknownField: a field that no selected type has.
        UnknownEntityType: ``ignore`` names a type that is not selected.
        BadOption: an option that is none of these.
    """
    if list_keys is not None and not (isinstance(list_keys, Mapping) and all(map(_is_text, list_keys.values()))):
        raise BadOption(f"list_keys= takes a mapping such as {{'lines': 'id'}}, got {list_keys!r}.")
    if isinstance(ignore, tuple | list) and not ignore and tolerance is None and not list_keys:
        return View(bool(paths), {}, (), (), selected.recorded.facts.kinds)
    fields = {shape.entity_type: [column.name for column in shape.columns] for shape in selected.shapes()}
    keys = zip(patterns(list_keys or (), fields, "list_keys"), (list_keys or {}).values(), strict=True)
    return View(
        paths=bool(paths),
        ignored=by_type(ignore, fields, "ignore"),
        near=tolerances(tolerance, fields),
        list_keys=tuple(keys),
        kinds=selected.recorded.facts.kinds,
    )


def _is_whole(pattern: Pattern, field: str) -> bool:
    return not pattern.tokens and pattern.names(field)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _where(
    rows: pl.DataFrame, test: Callable[[str, str], Any], dtype: pl.DataType | type[pl.DataType] = pl.Boolean
) -> pl.Series:
    """``test(field, path)`` of every row, asked once for each field and path."""
    places = rows.select("field", "path").unique(maintain_order=True)
    answers = places.with_columns(answer=pl.Series([test(*place) for place in places.iter_rows()], dtype=dtype))
    return rows.join(answers, on=["field", "path"], how="left", maintain_order="left")["answer"]
