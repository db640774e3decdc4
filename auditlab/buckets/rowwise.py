"""Whether a predicate looks at one row at a time: only then can it be asked of a log part by part."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["is_rowwise"]

_NODES = {"Alias", "BinaryExpr", "Cast", "Column", "Function", "Literal", "Ternary"}
_WHOLE_GROUPS = {"StringExpr", "TemporalExpr"}
_FUNCTIONS = {"Abs", "FillNull", "FloorDiv", "Round"}
_BOOLEANS = {"AllHorizontal", "AnyHorizontal", "IsBetween", "IsIn", "IsNotNull", "IsNull", "Not"}
_NOT_STRINGS = {"ConcatVertical"}


def is_rowwise(predicate: pl.Expr) -> bool:
    """Whether the predicate is known to look at one row at a time.

    >>> import polars as pl
    >>> is_rowwise(pl.col("id") > 5), is_rowwise(pl.col("id") == pl.col("id").max())
    (True, False)
    >>> is_rowwise(pl.col("id").is_in([1, 2])), is_rowwise(pl.col("entity_id").is_in(pl.col("changed_by")))
    (True, False)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the form of the text may change: what is not known is not taken
            tree = json.loads(predicate.meta.serialize(format="json"))
    except Exception:  # noqa: BLE001 - what cannot be told in this form, such as a Python function, is not known
        return False
    return _is_known(tree)


def _is_known(node: Any) -> bool:  # noqa: ANN401 - a node of a tree of JSON
    if not isinstance(node, dict) or len(node) != 1:
        return False
    ((kind, parts),) = node.items()
    if kind not in _NODES:
        return False
    if kind in ("Column", "Literal"):
        return kind == "Column" or "Series" not in parts  # that has a value for each row of the whole log
    if kind == "Function":
        return _is_known_function(parts["function"]) and _are_known(parts["input"], _name(parts["function"]))
    if kind == "Alias":
        return _is_known(parts[0])
    names = {"BinaryExpr": ("left", "right"), "Cast": ("expr",), "Ternary": ("predicate", "truthy", "falsy")}[kind]
    return all(_is_known(parts[name]) for name in names)


def _are_known(inputs: list[Any], function: str) -> bool:
    if function == "IsIn":  # it looks values up in all of the second
        return _is_known(inputs[0]) and all("Literal" in other for other in inputs[1:])
    return all(map(_is_known, inputs))


def _is_known_function(function: Any) -> bool:  # noqa: ANN401 - the same
    if isinstance(function, str):
        return function in _FUNCTIONS
    if not isinstance(function, dict) or len(function) != 1:
        return False
    group, name = next(iter(function)), _name(function)
    if group == "Boolean":
        return name in _BOOLEANS
    return group in _WHOLE_GROUPS and name not in _NOT_STRINGS


def _name(function: Any) -> str:  # noqa: ANN401 - the same
    """A function's name in its group; nothing where it has no group."""
    which = next(iter(function.values()), "") if isinstance(function, dict) else ""
    return which if isinstance(which, str) else next(iter(which), "")
