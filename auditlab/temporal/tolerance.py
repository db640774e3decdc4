"""How far two numbers may be apart and still count as one: decided exactly, whatever their digits."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, ROUND_FLOOR, Context, Decimal, Inexact, InvalidOperation
from typing import TYPE_CHECKING

import polars as pl

from auditlab.errors import BadOption
from auditlab.temporal.patterns import Pattern, patterns

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Tolerance", "amount", "tolerances", "within"]

Amount = int | str | Decimal | float
Tolerance = Amount | Mapping[str, Amount]
"""What ``tolerance=`` takes: one amount, or one for each field (or part of one)."""

NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
SHORT = r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$"
_SHORT_TYPE = pl.Decimal(38, 9)
"""Holds every short number, and what two of them differ by."""
_FARTHEST = Decimal(10) ** 20


def amount(given: object) -> Decimal:
    """The amount that was given; a float is the number that it prints as.

    Raises:
        BadOption: it is no number, or negative, NaN or infinite.
    """
    try:
        if isinstance(given, bool) or not isinstance(given, int | str | Decimal | float):
            raise InvalidOperation  # noqa: TRY301 - one message for all that is no number
        found = Decimal(repr(given) if isinstance(given, float) else given)
    except InvalidOperation:
        raise BadOption(f"tolerance= takes a number (0.01, '0.01', Decimal), got {given!r}.") from None
    if not found.is_finite() or found < 0:
        raise BadOption(f"tolerance= takes a number that is neither negative nor infinite, got {given!r}.")
    return found


def tolerances(given: Tolerance | None, fields: Mapping[str, Sequence[str]]) -> tuple[tuple[Pattern, Decimal], ...]:
    """What each part of a field may differ by; the first pattern that holds a part decides.

    Raises:
        BadOption: an amount that is none.
        UnknownField: a field that no type has.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        return ((Pattern(None), amount(given)),)
    return tuple(zip(patterns(given, fields, "tolerance"), map(amount, given.values()), strict=True))


def within(olds: pl.Series, news: pl.Series, most: Decimal) -> pl.Series:
    """True where both texts are JSON numbers that differ by ``most`` at the most, exactly; never null.

    >>> within(pl.Series(["1.10", "1"]), pl.Series(["1.11", "x"]), Decimal("0.01")).to_list()
    [True, False]
    """
    cells = pl.DataFrame({"old": olds, "new": news})
    short = pl.all_horizontal(pl.all().str.contains(SHORT)).fill_null(value=False)
    number = pl.all_horizontal(pl.all().str.contains(NUMBER)).fill_null(value=False)
    bound = Context(prec=38, rounding=ROUND_FLOOR).quantize(min(most, _FARTHEST), Decimal("1e-9"))
    apart = pl.when(short).then("old").cast(_SHORT_TYPE) - pl.when(short).then("new").cast(_SHORT_TYPE)
    limit = pl.lit(bound, dtype=_SHORT_TYPE)
    near = cells.with_columns(near=((apart <= limit) & (apart >= -limit)).fill_null(value=False), long=number & ~short)
    pairs = near.filter("long").select("old", "new").unique()
    if pairs.is_empty():
        return near["near"].rename("within")
    decided = pairs.with_columns(
        within=pl.Series([_near(old, new, most) for old, new in pairs.iter_rows()], dtype=pl.Boolean)
    )
    joined = near.join(decided, on=["old", "new"], how="left", maintain_order="left")
    return joined.select((pl.col("near") | pl.col("within").fill_null(value=False)).alias("within"))["within"]


def _near(old: str, new: str, most: Decimal) -> bool:
    """Decided exactly with the digits that ``most`` has: cut off there, the difference is on the same side of it."""
    try:
        one, other = Decimal(old), Decimal(new)
    except InvalidOperation:  # an exponent beyond what Python can hold
        return False
    digits = len(most.as_tuple().digits)
    context = Context(prec=digits, rounding=ROUND_DOWN, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
    apart = context.abs(context.subtract(one, other))
    return apart < most or (apart == most and not context.flags[Inexact])
