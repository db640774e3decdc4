"""A step of an upcast by Polars expressions, over all documents of a version at once.

Polars rounds decimals to their scale and wraps whole numbers without a word, and some expressions look at other rows.
So each expression is evaluated twice, the second time in wider types and over two halves: what differs is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.types import Types
from auditlab.encoding import encoded_series
from auditlab.errors import BadOption
from auditlab.reading.steps import StepFault
from auditlab.values import DECIMAL_DIGITS, LONE_SURROGATE, column

if TYPE_CHECKING:
    from auditlab.reading.steps import Fields, Told
    from auditlab.values import Column

__all__ = ["ExpressionStep", "Expressions", "expression_step"]

Expressions = Sequence[pl.Expr] | Mapping[str, pl.Expr | None]
"""Expressions named after the fields that they set; or field -> its expression, None where it goes."""

EMPTY: tuple[pl.DataType, ...] = (pl.Null(), pl.String(), pl.Int64(), pl.Boolean())
"""The types in which a field without any value is tried: what it holds elsewhere, these documents do not tell."""
LOOK_UP = ("is_in", "replace", "replace_strict")
"""Operations that look a row's value up among all values of other columns."""
NUMBERED = ("to_physical", "cat.physical")
"""Operations that may number values by the order in which they came."""
FINER = 6
"""Digits after the point that the second evaluation has more."""
SURROGATE = r"\\u[dD][89a-fA-F]"
"""The escape of half a character beyond the 65,536th: what two of them make is one."""


def expression_step(step: Expressions, to: str, where: str) -> ExpressionStep:
    """The step that expressions make.

    Raises:
        BadOption: they are none, stand for several fields, or look at more than one document.
    """
    parts: dict[str, pl.Expr | None] = {}
    for given in step.items() if isinstance(step, Mapping) else ((None, part) for part in step):
        name, part = given
        if not isinstance(part, pl.Expr) and not (part is None and name is not None):
            raise BadOption(f"the step of {where} holds {part!r:.60}, which is no Polars expression.")
        if part is not None:
            output = _output(part, where)
            name = output if name is None else name
            _check_alone(part, where)
        if not isinstance(name, str):
            raise BadOption(f"the step of {where} maps {name!r:.60}, which is no field's name.")
        if name in parts:
            raise BadOption(f"the step of {where} sets {name!r} twice.")
        parts[name] = part
    if not parts:
        raise BadOption(f"the step of {where} holds no expression.")
    return ExpressionStep(to, parts)


def _output(part: pl.Expr, where: str) -> str:
    """The field that an expression sets."""
    try:
        several = part.meta.has_multiple_outputs()
        name = part.meta.output_name()
    except pl.exceptions.PolarsError as exc:
        raise BadOption(f"an expression of {where} does not say which one field it sets: {part}.") from exc
    if several:
        raise BadOption(f"an expression of {where} stands for several fields: {part}. Write one for each.")
    return name


def _check_alone(part: pl.Expr, where: str) -> None:
    if not _looks_at_one(part):
        raise BadOption(
            f"an expression of {where} cannot be shown to look at one document at a time: {part}. Use a plain function."
        )


def _looks_at_one(part: pl.Expr) -> bool:
    """Whether an expression, with all that it is made of, is known to give for a row what that row alone tells.

    Polars says so of an operation, whatever its inputs are, and so of ``a < a.max()``; and of those, too, that look a
    value up in a whole column (``LOOK_UP``) or number it (``NUMBERED``).
    """
    try:
        inputs = part.meta.pop()[::-1]
        if _is_one_of(NUMBERED, part, inputs):
            return False
        if _is_one_of(LOOK_UP, part, inputs) and any(other.meta.root_names() for other in inputs[1:]):
            return False
        return part.meta.is_row_separable() and all(map(_looks_at_one, inputs))
    except pl.exceptions.PolarsError:
        return False


def _is_one_of(names: Sequence[str], part: pl.Expr, inputs: Sequence[pl.Expr]) -> bool:
    """Whether an expression is an operation of one of these names."""
    return bool(inputs) and str(part).startswith(tuple(f"{inputs[0]}.{name}(" for name in names))


@dataclass(frozen=True, slots=True)
class ExpressionStep:
    """A step by expressions: field -> what it becomes, None where it goes."""

    to: str
    parts: Mapping[str, pl.Expr | None]

    def told(self) -> Inputs:
        """The fields that the expressions are made of."""
        return Inputs({root for part in self.parts.values() if part is not None for root in part.meta.root_names()})

    def take(self, fields: Fields, absent: Fields, height: int, told: Told | None = None) -> Fields:
        """The fields that the expressions make, and those that they leave alone."""
        given = fields | absent
        roots = {name: part.meta.root_names() for name, part in self.parts.items() if part is not None}
        of = told.of if isinstance(told, Inputs) else _Input.of
        unknown = sorted({root for found in roots.values() for root in found} - given.keys())
        if unknown:
            have = ", ".join(map(repr, given)) or "none"
            raise StepFault(f"is about {', '.join(map(repr, unknown))}: no document has such a field. There is {have}.")
        inputs = {root: of(root, given[root]) for found in roots.values() for root in found}
        made = {name: raw for name, raw in fields.items() if name not in self.parts}
        for name, part in self.parts.items():
            if part is None:
                continue
            if part.meta.undo_aliases().meta.is_column():
                made[name] = given[roots[name][0]].alias(name)
            else:
                made[name] = _evaluated(name, part, [inputs[root] for root in roots[name]], height)
        order = [*fields, *(name for name in made if name not in fields)]
        return {name: made[name] for name in order if name in made}


@dataclass(frozen=True, slots=True)
class _Input:
    """A field as expressions see it.

    Args:
        values: Int64, Decimal, Boolean or String.
        present: Boolean: whether the document has the field.
        exact: Whether a string of the column is always a JSON string: else it may be JSON text of something else.
        digits: How many digits before the point its numbers have at the most.
    """

    values: pl.Series
    present: pl.Series
    exact: bool
    digits: int

    @classmethod
    def of(cls, name: str, raw: pl.Series) -> _Input:
        found = column(name, raw)
        return cls.typed(found, raw, halved=found.strings and _halved(raw), digits=_digits(found))

    @classmethod
    def typed(cls, found: Column, raw: pl.Series, *, halved: bool, digits: int) -> _Input:
        values = found.typed if found.kind in ("int", "decimal", "bool") else found.text
        values = values.cast(pl.Null) if found.kind == "empty" else values
        exact = found.kind not in ("json", "mixed") and not found.note
        return cls(values.alias(found.name), raw.is_not_null(), exact and not halved, digits)

    @property
    def full(self) -> bool:
        """Whether its decimals leave no room for the digits by which rounding is found."""
        dtype = self.values.dtype
        return isinstance(dtype, pl.Decimal) and self.digits + dtype.scale + FINER > DECIMAL_DIGITS

    def wider(self, *, decimals: bool) -> pl.Series:
        """The same values in a type with room for more; Polars rounds and wraps to a type's limits silently."""
        dtype = self.values.dtype
        if isinstance(dtype, pl.Decimal):
            return self.values.cast(pl.Decimal(DECIMAL_DIGITS, dtype.scale + FINER))
        if dtype.is_integer():
            return self.values.cast(pl.Decimal(DECIMAL_DIGITS, FINER) if decimals else pl.Int128)
        return self.values


class Inputs:
    """Fields as expressions see them where they take documents part by part: of the type that all parts tell.

    Args:
        names: The fields.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._types = Types({})
        self._halved: set[str] = set()
        self._digits: dict[str, int] = {}

    def learn(self, fields: Fields) -> None:
        """Take in a part of the documents."""
        for name in self._names & fields.keys():
            raw = fields[name]
            found = self._types.learn_field("", name, raw)
            self._digits[name] = max(self._digits.get(name, 0), _digits(found))
            if _halved(raw):
                self._halved.add(name)

    def of(self, name: str, raw: pl.Series) -> _Input:
        """A field of a part."""
        if name not in self._digits:
            return _Input.of(name, raw)
        found = self._types.column("", name, raw)
        return _Input.typed(found, raw, halved=name in self._halved, digits=self._digits[name])


def _halved(raw: pl.Series) -> bool:
    """Whether any text of a field holds half a character alone."""
    escaped = raw.filter(raw.str.starts_with('"') & raw.str.contains(SURROGATE)).unique()
    return any(LONE_SURROGATE.search(json.loads(text, strict=False)) for text in escaped)


def _digits(found: Column) -> int:
    """How many digits before the point the numbers of a field have at the most."""
    if found.kind not in ("int", "decimal"):
        return 0
    whole = found.typed.cast(pl.String).str.strip_chars_start("-").str.split(".").list.first()
    return int(whole.str.len_bytes().max() or 0)  # type: ignore[arg-type]  # whole numbers


def _evaluated(name: str, part: pl.Expr, inputs: Sequence[_Input], height: int) -> pl.Series:
    """The raw texts that an expression gives."""
    found = _run(name, part, [each.values for each in inputs], height)
    texts = _texts(name, found)
    if isinstance(found.dtype, pl.String) and not all(each.exact for each in inputs):
        odd = ", ".join(repr(each.values.name) for each in inputs if not each.exact)
        raise StepFault(
            f"makes text for {name!r} of {odd}, which holds other values than strings: it cannot be told whether "
            "that is a string or JSON. Use a plain function."
        )
    if any(each.full for each in inputs):
        full = ", ".join(repr(each.values.name) for each in inputs if each.full)
        raise StepFault(
            f"makes {found.dtype} for {name!r} of {full}, whose numbers leave less than {FINER} digits of a decimal "
            "column free: it cannot be told whether that is exact. Use a plain function."
        )
    wide = [each.wider(decimals=isinstance(found.dtype, pl.Decimal)) for each in inputs]
    half = height // 2
    try:
        again = pl.concat(
            [
                _texts(name, _run(name, part, [values[start:end] for values in wide], end - start))
                for start, end in ((0, half), (half, height))
            ]
        )
    except StepFault:
        again = None
    if again is None or not again.equals(texts):
        raise StepFault(
            f"makes {found.dtype} for {name!r} that is not exact: in wider types, or over fewer documents, it gives "
            "something else. Round or cast so that it does not matter, or use a plain function."
        )
    if not inputs:
        return texts.fill_null("null").alias(name)
    present = pl.select(
        pl.any_horizontal(each.present.alias(str(place)) for place, each in enumerate(inputs))
    ).to_series()
    return texts.zip_with(texts.is_not_null() | ~present, pl.Series(["null"])).alias(name)


def _run(name: str, part: pl.Expr, values: Sequence[pl.Series], height: int) -> pl.Series:
    """An expression's column over the documents; fields without any value take a type that it can do with."""
    frame = pl.DataFrame({each.name: each for each in values} or {"": pl.repeat(None, height, eager=True)})
    empty = [each.name for each in values if each.dtype == pl.Null]
    frames = [frame.cast(dict.fromkeys(empty, dtype)) for dtype in (EMPTY if empty else EMPTY[:1])]
    fitting = next((one for one in frames if _fits(one, part)), frames[0])
    try:
        found = fitting.select(part.alias("made")).to_series()
    except pl.exceptions.PolarsError as exc:
        have = ", ".join(f"{each.name!r} ({each.dtype})" for each in values) or "nothing"
        raise StepFault(f"failed for {name!r}, made of {have}: {exc}.", cause=exc) from exc
    if len(found) == 1 and height != 1:
        found = found.new_from_index(0, height)
    if len(found) != height:
        raise StepFault(f"makes {len(found):,} values for {name!r} of {height:,} documents.")
    return found


def _fits(frame: pl.DataFrame, part: pl.Expr) -> bool:
    """Whether an expression takes columns of these types, whatever they hold: so all parts of a log tell the same."""
    try:
        frame.clear().select(part)
    except pl.exceptions.PolarsError:
        return False
    return True


def _texts(name: str, values: pl.Series) -> pl.Series:
    try:
        return encoded_series(values)
    except (TypeError, ValueError) as exc:
        raise StepFault(f"makes {values.dtype} for {name!r}: {exc}. Cast it to an exact type.", cause=exc) from exc
