"""Fields that are withheld: left out of a log's documents, or their values masked; all else stays byte for byte."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from auditlab.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditlab.schema import LogFacts

__all__ = ["MASK", "Masks", "withhold"]

MASK = "***"
"""What stands for a masked value, null and absent ones alike: that there was a value is withheld, too."""

_DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
_SPACE = re.compile(r"\s*")
_TOLD = json.dumps(MASK)
_BROKEN = f"{{{MASK}}}"
"""What stands for an image that begins as an object and is none."""

_NO_JSON = object()
_NEITHER: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())


@dataclass(slots=True)
class Masks:
    """Which fields are withheld, and of which documents had them.

    Args:
        masked: Fields whose values are masked, as ``type.field``. Types and fields may have dots in their names: where
            ``t.x.y`` is a field of two types, both are withheld.
        omitted: Fields that are left out, likewise.

    Raises:
        BadOption: one that is no ``type.field``, or that is both masked and left out.
    """

    masked: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    met: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.masked, self.omitted = (tuple(sorted(set(names))) for names in (self.masked, self.omitted))
        odd = [name for name in (*self.masked, *self.omitted) if "." not in name[1:]]
        if odd:
            raise BadOption(f"{odd[0]!r} names no field: write it behind its entity type, e.g. 'orders.orders.email'.")
        both = sorted(set(self.masked) & set(self.omitted))
        if both:
            raise BadOption(f"{both[0]!r} is to be masked and to be left out. Say one of them.")

    def __bool__(self) -> bool:
        return bool(self.masked or self.omitted)

    @classmethod
    def of(cls, facts: LogFacts) -> Masks:
        """Those with which a log was written."""
        return cls(facts.masked, facts.omitted)

    def on(self, changes: pl.DataFrame) -> pl.DataFrame:
        """Changes in the canonical columns, what is withheld gone from their documents."""
        for entity_type, (masked, omitted) in self._by_type().items():
            own = (pl.col("entity_type") == entity_type) | pl.col("partition").eq_missing(entity_type)
            if not changes.select(own.any()).item():
                continue
            places = changes.select(own)["entity_type"].to_list()
            met: set[str] = set()
            rows = [
                _row(row, masked, omitted, met.add) if mine else row
                for row, mine in zip(changes.select(_DOCUMENTS).iter_rows(), places, strict=True)
            ]
            changes = changes.with_columns(pl.DataFrame(rows, dict.fromkeys(_DOCUMENTS, pl.String), orient="row"))
            self.met.update(f"{entity_type}.{name}" for name in met)
        return changes

    def masked_of(self, entity_type: str) -> frozenset[str]:
        """The fields of a type whose values are masked."""
        return self._by_type().get(entity_type, _NEITHER)[0]

    def check_known(self, known: Iterable[str]) -> None:
        """Check that no field was misspelt: it was met in a document, or is known to be one.

        Raises:
            BadOption: a field that no document had; what it was to withhold may be there under another name.
        """
        unknown = sorted({*self.masked, *self.omitted} - self.met - set(known))
        if unknown:
            raise BadOption(
                f"no change has a field {', '.join(map(repr, unknown))}, to be withheld. Nothing was written. "
                "Write the entity type and the field as the log has them, e.g. 'orders.orders.email'."
            )

    def check_keys(self, keys: dict[str, tuple[str, ...]]) -> None:
        """Check that no part of a primary key is to be withheld.

        Raises:
            BadOption: it is; entity ids and metadata tell it all the same.
        """
        parts = {f"{name}.{column}" for name, columns in keys.items() for column in columns}
        found = sorted(parts & {*self.masked, *self.omitted})
        if found:
            raise BadOption(f"{found[0]!r} is of a primary key: entity_id and metadata would tell it all the same.")

    def _by_type(self) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        found: dict[str, tuple[set[str], set[str]]] = {}
        for place, names in enumerate((self.masked, self.omitted)):
            for name in names:
                for dot in (at for at, character in enumerate(name) if character == "." and at):
                    found.setdefault(name[:dot], (set(), set()))[place].add(name[dot + 1 :])
        return {name: (frozenset(masked), frozenset(omitted)) for name, (masked, omitted) in found.items()}


def _row(
    row: tuple[str | None, ...], masked: frozenset[str], omitted: frozenset[str], met: Callable[[str], object]
) -> tuple[str | None, ...]:
    """A change's documents without what is withheld. What is no object may have it anywhere, and is masked whole."""
    *images, listed = row
    kept = [image if image is None else _image(image, masked, omitted, met) for image in images]
    return (*kept, listed if listed is None else _listed(listed, images, masked, omitted, met))


def _image(text: str, masked: frozenset[str], omitted: frozenset[str], met: Callable[[str], object]) -> str:
    if not text.lstrip().startswith("{"):
        return _TOLD
    kept = withhold(text, masked, omitted, met)
    return _BROKEN if _value(text) is _NO_JSON else kept


def _listed(
    text: str,
    images: list[str | None],
    masked: frozenset[str],
    omitted: frozenset[str],
    met: Callable[[str], object],
) -> str:
    """The changed fields: new values by name, or names. In any other form it is not known which value is whose."""
    names = {name for image in images if image is not None for name, *_ in _members(image)}
    value = _value(text)
    if isinstance(value, dict):
        secret = [spelled for name in masked | omitted for spelled in (json.dumps(name), f'"{name}"')]
        odd = frozenset(
            name
            for name, _, begin, end in _members(text)
            if name not in names and (images[-1] is not None or any(one in text[begin:end] for one in secret))
        )
        return withhold(
            text, masked | (odd - omitted), omitted, lambda name: met(name) if name in masked | omitted else None
        )
    if value is None or (isinstance(value, list) and all(isinstance(one, str) and one in names for one in value)):
        return text
    return _TOLD


def _value(text: str) -> object:
    try:
        return json.loads(text, parse_int=str, strict=False)
    except ValueError:
        return _NO_JSON
    except RecursionError:
        return {} if text.lstrip().startswith("{") else MASK


def withhold(
    text: str, masked: frozenset[str], omitted: frozenset[str], met: Callable[[str], object] = lambda _: None
) -> str:
    r"""A JSON object's text without some of its fields, and with the values of others masked.

    Whatever else stands in it stays as it is: spaces, numbers, escapes, fields that stand twice.

    Args:
        text: The text; what is no object is given back as it is.
        masked: Fields whose values are masked.
        omitted: Fields that are left out.
        met: Is told each of these fields that the object has.

    >>> withhold('{"a": 1.10, "b": {"a": 2}, "\\u0061": 3}', frozenset(), frozenset({"a"}))
    '{"b": {"a": 2}}'
    >>> withhold('{"a":  1.10, "b": null}', frozenset({"b"}), frozenset())
    '{"a":  1.10, "b": "***"}'
    """
    found = _members(text)
    if not found:
        return text
    parts: list[str] = []
    for place, (name, begin, value, end) in enumerate(found):
        if name in masked or name in omitted:
            met(name)
        if name in omitted:
            continue
        before = text[found[place - 1][3] : begin] if parts else text[: found[0][1]]
        parts += [before, text[begin:value] + _TOLD if name in masked else text[begin:end]]
    return "".join([*parts, text[found[-1][3] :]]) if parts else "{}"


def _members(text: str) -> list[tuple[str, int, int, int]]:
    """Of an object's text each field's name, where it begins, where its value does, and where that ends."""
    if not text.lstrip().startswith("{"):
        return []
    found: list[tuple[str, int, int, int]] = []
    depth, name, begin, value = 0, "", -1, -1
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "{[":
            depth += 1
        elif (sign == "," and depth == 1) or sign in "}]":
            if depth == 1 and value >= 0:
                inside = text[value : token.start()]
                found.append((name, begin, value, value + len(inside.rstrip())))
                begin = value = -1
            depth -= sign != ","
        elif sign == ":" and depth == 1 and value < 0:
            value = _SPACE.match(text, token.end()).end()  # type: ignore[union-attr]  # it always matches
        elif depth == 1 and begin < 0:
            name, begin = json.loads(sign, strict=False), token.start()
    return found
