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
        return True
    if kind == "Function":
        return all(map(_is_known, parts["input"])) and _is_known_function(parts["function"])
    if kind == "Alias":
        return _is_known(parts[0])
    names = {"BinaryExpr": ("left", "right"), "Cast": ("expr",), "Ternary": ("predicate", "truthy", "falsy")}[kind]
    return all(_is_known(parts[name]) for name in names)


def _is_known_function(function: Any) -> bool:  # noqa: ANN401 - the same
    if isinstance(function, str):
        return function in _FUNCTIONS
    if not isinstance(function, dict) or len(function) != 1:
        return False
    ((group, which),) = function.items()
    name = which if isinstance(which, str) else next(iter(which), "")
    if group == "Boolean":
        return name in _BOOLEANS
    return group in _WHOLE_GROUPS and name not in _NOT_STRINGS
