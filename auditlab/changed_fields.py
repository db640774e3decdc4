"""Lists of changed fields: which of them are new values, of which alone the state after a change follows.

A list such as ``{"n": [1, 2]}`` may say that n became 2, as paper_trail and django-auditlog write it, or that it became
``[1, 2]``. All lists of an entity type have one form. They are new values where one of them can be nothing else and
none is left that looks like old and new values together; what tells nothing of the form, such as ``{}``, has no vote.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.documents import raw_fields
from auditlab.masking import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["listed", "new_values", "silent_lists", "told_fields"]

_SILENT = pl.col("operation").is_in(["INSERT", "UPDATE"]) & pl.col("after_snapshot").is_null()
_LIST = pl.col("changed_fields")

_VALUES, _PAIRS, _NOTHING, _BROKEN = "new values", "old and new values", "nothing", "no JSON"
"""What a list may be."""

_TOGETHER = ({"old", "new"}, {"from", "to"}, {"before", "after"})
_EMPTY = r"^\s*(null|\[\s*\]|\{\s*\})\s*$"
_NAME = r'\s*"(?:[^"\\]|\\.)*"\s*:\s*'
_PLAIN = r'\s*(?:"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|true|false|null)\s*'
_SURE = rf'^\s*\{{{_NAME}(?:[^\s\[{{"]|"[^*])'
"""Lists whose first value is no array or object, and not masked."""
_TWOS = rf"^\s*\{{(?:{_NAME}\[{_PLAIN},{_PLAIN}\]\s*,?)+\s*\}}\s*$"
"""Lists all of whose values are arrays of two that hold none; others are looked at one by one."""

_AT_ONCE = 10_000
"""Texts that are searched before it is asked whether anything is left to be found."""

Shape = int | tuple[str, ...]
"""What a value that may be an old and a new one looks like: how deep an array's arrays go, or an object's names."""


def listed() -> pl.Expr:
    """Over changes: whether the changed fields are an object that is not empty."""
    return (_LIST.str.contains(r"^\s*\{") & ~_LIST.str.contains(_EMPTY)).fill_null(value=False)


def silent_lists() -> pl.Expr:
    """Over changes: whether one without an after image has an object, which is not empty, for its changed fields."""
    return _SILENT & listed()


def told_fields(changes: pl.DataFrame, *, values: bool) -> pl.Series | None:
    """The fields that changes without an after image say they set, as JSON text by row; None where none says so.

    Taken is an object of new values, as the reference schema's ``changed_fields`` is. In a log that lists them so, an
    UPDATE without a list, or with an empty one, changed nothing, unless the next change found something else. Names
    alone, and old and new values together, tell no state.

    Args:
        changes: One entity type's changes.
        values: Whether ``new_values`` of all changes has the type.
    """
    if not values:
        return None
    idle = _SILENT & (pl.col("operation") == "UPDATE") & _LIST.fill_null("null").str.contains(_EMPTY)
    told = pl.when(silent_lists()).then(_LIST).when(idle).then(pl.lit("{}"))
    return changes.select(told=told).to_series()


def new_values(read: Callable[[], Iterable[pl.DataFrame]]) -> frozenset[str]:
    """The entity types whose changes without an after image list the new values of what they changed.

    That is so where some list can be nothing else: a value in it is neither an array of two nor such an object as
    ``{"old": 1, "new": 2}``. Lists that may be old and new values together, in every value, are then new values where
    images, or lists that surely are new values, show each of their fields with such a value, too; else it cannot be
    told what the lists are, and none of the type is taken. Empty lists, masked values and lists that are no JSON tell
    nothing; a type of which all lists are no JSON passes, and the split refuses them by name.

    Args:
        read: Gives all changes of the log, in any order and in any parts. It is asked more than once where lists of
            both forms are found.
    """
    forms: dict[str, set[str]] = {}
    for changes in read():
        for name, form, _ in _formed(_silent(changes)):
            forms.setdefault(name, set()).add(form)
    told = {name for name, found in forms.items() if _VALUES in found or found == {_BROKEN}}
    mixed = {name for name in told if _PAIRS in forms[name]}
    return frozenset(told - _open(read, mixed) if mixed else told)


def _silent(changes: pl.DataFrame) -> pl.DataFrame:
    """The lists of changes without an after image: entity_type, changed_fields."""
    without = changes.filter(_SILENT).select("entity_type", "changed_fields")  # hardly any: their texts are searched
    return without if without.is_empty() else without.filter(listed())


def _formed(lists: pl.DataFrame) -> Iterator[tuple[str, str, pl.Series]]:
    """What some lists (entity_type, changed_fields) are: type, form and the lists that are so."""
    if lists.is_empty():
        return
    sure = lists["changed_fields"].str.contains(_SURE)
    rest = lists.filter(~sure)
    twos = rest["changed_fields"].str.contains(_TWOS)
    parts = [(_VALUES, lists.filter(sure)), (_PAIRS, rest.filter(twos))]
    odd = rest.filter(~twos).unique(maintain_order=True)
    found = odd.with_columns(form=pl.Series([_form(text) for text in odd["changed_fields"]], dtype=pl.String))
    parts += [(str(form), own) for (form,), own in found.group_by("form", maintain_order=True)]
    for form, of_form in parts:
        for (name,), own in of_form.group_by("entity_type", maintain_order=True):
            yield str(name), form, own["changed_fields"]


def _form(text: str) -> str:
    values = _values(text)
    if values is None:
        return _BROKEN
    told = [value for value in values.values() if value != MASK]
    if not told:
        return _NOTHING
    return _PAIRS if all(map(_may_be_both, told)) else _VALUES


def _values(text: str) -> dict[str, Any] | None:
    """An object's fields with their values; None of what is no JSON object."""
    try:
        return {name: json.loads(raw, strict=False, parse_int=str) for name, raw in raw_fields(text).items()}
    except (ValueError, RecursionError):
        return None


def _may_be_both(value: object) -> bool:
    if isinstance(value, list):
        return len(value) == 2  # noqa: PLR2004
    return isinstance(value, dict) and set(value) in _TOGETHER


def _shape(value: object) -> Shape:
    if isinstance(value, dict):
        return tuple(sorted(value))
    return 1 + max(map(_shape, filter(_is_list, value)), default=0) if isinstance(value, list) else 0  # type: ignore[operator]  # of lists, whole numbers


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _open(read: Callable[[], Iterable[pl.DataFrame]], types: set[str]) -> set[str]:
    """Those types of which some list may be old and new values together of a field that has no such value elsewhere."""
    wanted: dict[str, dict[str, set[Shape]]] = {name: {} for name in types}
    for changes in read():
        for name, form, lists in _formed(_silent(changes).filter(pl.col("entity_type").is_in(types))):
            for text in lists.unique() if form == _PAIRS else ():
                for field, value in (_values(text) or {}).items():
                    wanted[name].setdefault(field, set()).update([] if value == MASK else [_shape(value)])
    for changes in read():
        for name, fields in wanted.items():
            own = changes.filter(pl.col("entity_type") == name)
            for side in ("before_snapshot", "after_snapshot"):
                _take_shown(own[side].drop_nulls(), fields)
            for _, form, lists in _formed(_silent(own)):
                if form == _VALUES:
                    _take_shown(lists, fields, null=True)
    return {name for name, fields in wanted.items() if any(fields.values())}


def _take_shown(texts: pl.Series, fields: dict[str, set[Shape]], *, null: bool = False) -> None:
    """Take out the shapes that documents show of each field; with ``null``, all of a field that is null in one."""
    for field, shapes in fields.items():
        names = {json.dumps(field), json.dumps(field, ensure_ascii=False)}
        shown = rf"(?:{'|'.join(map(re.escape, sorted(names)))})\s*:\s*[\[{{{'n' if null else ''}]"
        for start in range(0, len(texts) if shapes else 0, _AT_ONCE):
            some = texts.slice(start, _AT_ONCE)
            for text in some.filter(some.str.contains(shown)):
                value = (_values(text) or {}).get(field, 0)
                shapes.difference_update(list(shapes) if value is None else [_shape(value)])
                if not shapes:
                    break
            if not shapes:
                break
