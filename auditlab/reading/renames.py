"""Renames: fields that a table's columns were renamed from, read under the names that they were renamed to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

import polars as pl

from auditlab.errors import BadOption, ReadingError, UnknownChange, UnknownEntityType, UnknownField
from auditlab.reading.images import equal_values, staged
from auditlab.reading.in_buckets import read
from auditlab.reading.readings import Stopped
from auditlab.selection import whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditlab.reading.images import Images
    from auditlab.selection import Selected

__all__ = ["Names", "RenamedInParts", "Renames", "renamed"]

Names = Mapping[str, str] | Mapping[str, Mapping[str, str]]
"""Old name -> new name, of one entity type; or entity type -> the same, of several."""


@dataclass(frozen=True, slots=True)
class Renames:
    """Fields of entity types read under other names.

    Args:
        names: entity type -> old name -> new name. Without a limit no new name is an old name, too.
        before: Only what was written before the change with this id; None for all.
        transaction: Only what was written before this transaction; None for all.
    """

    names: Mapping[str, Mapping[str, str]]
    before: int | None = None
    transaction: int | None = None

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The types whose fields are renamed."""
        return tuple(self.names)

    @property
    def partial(self) -> bool:
        """Whether it reads documents that hold some of their fields: a name does not hang on other fields."""
        return True

    @property
    def limit(self) -> str:
        """The limit in words; nothing where there is none."""
        if self.transaction is not None:
            return f" before transaction {self.transaction}"
        return "" if self.before is None else f" before change {self.before}"

    @property
    def words(self) -> str:
        """The renames in words."""
        told = (
            f"{entity_type}: {', '.join(f'{old} as {new}' for old, new in names.items())}"
            for entity_type, names in self.names.items()
        )
        return "; ".join(told) + self.limit

    def read(self, images: Images) -> Images:
        """The images with the new names.

        Raises:
            UnknownField: no document (written before the limit) has such a field.
            UnknownChange: the type has no change of that transaction.
            ReadingError: documents have a field under several of its names, with different values.
        """
        images, within = self.within(images, self.first(images.entity_type, [images.changes]))
        self.check(images.entity_type, self.held(images, within))
        return self.applied(images, within)

    def in_parts(self, entity_type: str, changes: Callable[[], Iterable[pl.DataFrame]]) -> RenamedInParts:
        """The renames of one type, of a log that is read part by part."""
        return RenamedInParts(self, entity_type, changes)

    def applied(self, images: Images, within: pl.Series) -> Images:
        """The images with the new names in the documents ``within`` the limit."""
        names = self.names[images.entity_type]
        sources: dict[str, list[str]] = defaultdict(list)
        order: dict[str, None] = {}
        for name in images.fields:
            sources[names.get(name, name)].append(name)
            order.update(dict.fromkeys((names.get(name, name), name)))
        fields = {}
        nothing = pl.Series([None], dtype=pl.String)
        for name in order:
            own = images.fields.get(name, pl.repeat(None, len(within), dtype=pl.String, eager=True))
            told = [source for source in names if source != name and source in sources[name]]  # not by appearance
            if name not in names and not told:
                fields[name] = own
                continue
            kept = own.zip_with(~within, nothing) if name in names else own
            for source in told:
                kept = self._joined(images, name, source, kept, images.fields[source].zip_with(within, nothing))
            fields[name] = kept
        touched = pl.repeat(value=False, n=len(within), eager=True)
        for name in names:
            if name in images.fields:
                touched |= images.fields[name].is_not_null() & within
        return images.made(fields, touched, self.kinds(images.entity_type, images.kinds))

    def first(self, entity_type: str, changes: Iterable[pl.DataFrame]) -> int | None:
        """The id of the first change of a type that counts no more; None where all count."""
        if self.transaction is None:
            return self.before
        own = (pl.col("entity_type") == entity_type) & (pl.col("transaction_id") == self.transaction)
        ids = [least for part in changes if (least := part.filter(own)["id"].min()) is not None]
        if not ids:
            raise UnknownChange(f"{entity_type} has no change of transaction {self.transaction}.")
        return min(ids)  # type: ignore[return-value]  # whole numbers

    @staticmethod
    def within(images: Images, first: int | None) -> tuple[Images, pl.Series]:
        """The images, and whether each document was written before a change."""
        if first is None:
            return images, pl.repeat(value=True, n=len(images.texts), eager=True)
        return staged(images, (images.changes["id"] < first).rename("stage"))

    @staticmethod
    def held(images: Images, within: pl.Series) -> list[str]:
        """The fields that documents ``within`` the limit have."""
        return [name for name, raw in images.fields.items() if raw.filter(within).null_count() < within.sum()]

    def check(self, entity_type: str, held: Sequence[str]) -> None:
        """Refuse old names that none of a type's documents within the limit has."""
        unknown = [name for name in self.names[entity_type] if name not in held]
        if unknown:
            have = ", ".join(map(repr, held)) or "none"
            raise UnknownField(
                f"{entity_type} had no field {', '.join(map(repr, unknown))}{self.limit}. It had {have}."
            )

    def _joined(self, images: Images, name: str, source: str, kept: pl.Series, other: pl.Series) -> pl.Series:
        """A field's texts with those that it had under another name."""
        same = equal_values(kept, other, images.kinds.get(name))
        if not same.all():
            first = int((~same).arg_true()[0])
            hint = (
                ""
                if self.limit
                else f" Where {name!r} meant something else before, or {source!r} after, say up to when "
                "the old name counts: renamed(..., before=ID) or before_transaction=ID."
            )
            raise ReadingError(
                f"{source!r} of {images.entity_type} cannot be read as {name!r}{self.limit}: "
                f"{images.where(~same)} have both, with different values, e.g. {other[first]:.60} and "
                f"{kept[first]:.60}.{hint}"
            )
        return kept.zip_with(kept.is_not_null(), other)

    def kinds(self, entity_type: str, declared: Mapping[str, str]) -> dict[str, str]:
        """The catalog's kinds under the new names, where the catalog does not have those itself."""
        names = self.names[entity_type]
        return {names[name]: kind for name, kind in declared.items() if name in names} | dict(declared)


class RenamedInParts:
    """Renames of one entity type, of a log that is read part by part.

    Args:
        renames: The renames.
        entity_type: The type.
        changes: Gives the changes of all parts.
    """

    partial = True
    """See ``Renames``."""

    def __init__(self, renames: Renames, entity_type: str, changes: Callable[[], Iterable[pl.DataFrame]]) -> None:
        self._renames, self._type, self._changes = renames, entity_type, changes
        self._given: set[str] = set()
        self._held: set[str] = set()
        self._faults: list[ReadingError] = []

    @cached_property
    def _first(self) -> int | None:
        """The id of the first change that counts no more; None where all count."""
        return self._renames.first(self._type, () if self._renames.transaction is None else self._changes())

    def read(self, images: Images) -> Images:
        """The images of a part with the new names.

        Raises:
            UnknownChange: the type has no change of the transaction.
            Stopped: documents have a field under several of its names, with different values.
        """
        images, within = self._renames.within(images, self._first)
        self._given.update(images.fields)
        self._held.update(self._renames.held(images, within))
        try:
            return self._renames.applied(images, within)
        except ReadingError as exc:
            self._faults.append(exc)
            raise Stopped from exc

    def kinds(self, declared: Mapping[str, str]) -> dict[str, str]:
        """See ``Renames.kinds``."""
        return self._renames.kinds(self._type, declared)

    def ordered(self, names: Sequence[str]) -> list[str]:
        """See ``InParts``: each field under both its names, the new one before the old.

        Raises:
            UnknownField: no part has an old name within the limit.
            ReadingError: see ``Renames.read``.
        """
        self._renames.check(self._type, [name for name in names if name in self._held])
        if self._faults:
            more = f" {len(self._faults) - 1} other parts of the log have such changes, too."
            raise ReadingError(f"{self._faults[0]}{more if len(self._faults) > 1 else ''}") from self._faults[0]
        new = self._renames.names[self._type]
        return list(dict.fromkeys(own for name in names if name in self._given for own in (new.get(name, name), name)))


def renamed(
    selected: Selected, names: Names, *, before: int | None = None, before_transaction: int | None = None
) -> Selected:
    """The log with fields read under other names: in states, histories, diffs, blame, joins, everywhere.

    What was recorded stays as it is: ``changes()``, the records, ``evidence()``, ``drift()`` and archives do not know
    of it. A value keeps its recorded text. A change that did nothing but rename is then no change of any field, and a
    value's blame goes back to who set it under the old name. Names in a row (a to b, b to c) are followed to the last.

    Args:
        selected: The log.
        names: Old name -> new name, where one entity type is selected; else entity type -> old name -> new name.
        before: Read so only what was written before the change with this id: for a name that was used again later. The
            renames are then taken to have been made at once, so names may also be swapped. A before image counts as
            written by the change that left what it shows.
        before_transaction: The same, before this transaction's first change of the type.

    Raises:
        UnknownEntityType: the log has no such type; the message names those it has.
        BadOption: no names, names that go in a circle, or several types and no mapping for each.

    The first question about a type raises ``UnknownField`` where no document has the old name, and ``ReadingError``
    where documents have both names with different values; its message counts and names the changes.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> log = from_arrow(make_log([("INSERT", "a", {"name": "x"}), ("UPDATE", "a", {"title": "x"})]))
    >>> log.renamed({"name": "title"}).diffs().select("id", "field", "kind", "new").rows()
    [(1, 'title', 'added', 'x')]
    """
    whole_number("before", before)
    whole_number("before_transaction", before_transaction)
    if before is not None and before_transaction is not None:
        raise BadOption("renamed() takes one of before and before_transaction.")
    limited = before is not None or before_transaction is not None
    by_type = {
        entity_type: dict(given) if limited else _followed(entity_type, given)
        for entity_type, given in _by_type(selected, names).items()
    }
    return replace(selected, recorded=read(selected.recorded, Renames(by_type, before, before_transaction)))


def _by_type(selected: Selected, names: Names) -> dict[str, Mapping[str, str]]:
    """The names by entity type, checked."""
    types = selected.entity_types
    have = ", ".join(map(repr, types)) or "none"
    if not isinstance(names, Mapping) or not names:
        raise BadOption(f"renamed() takes a mapping of old names to new ones, e.g. {{'old': 'new'}}, got {names!r}.")
    by_type: dict[str, Mapping[str, str]]
    if all(isinstance(value, Mapping) for value in names.values()):
        by_type = dict(cast("Mapping[str, Mapping[str, str]]", names))
    elif len(types) == 1:
        by_type = {types[0]: cast("Mapping[str, str]", names)}
    else:
        raise BadOption(
            f"renamed() of several entity types takes a mapping for each: {{{types[0] if types else 't'!r}: "
            f"{{'old': 'new'}}}}. The log has {have}."
        )
    unknown = [name for name in by_type if name not in types]
    if unknown:
        raise UnknownEntityType(f"no entity type {', '.join(map(repr, unknown))} in this log. It has {have}.")
    for entity_type, given in by_type.items():
        odd = [pair for pair in given.items() if not all(isinstance(name, str) for name in pair) or pair[0] == pair[1]]
        if odd or not given:
            shown = f"{odd[0][0]!r}: {odd[0][1]!r}" if odd else "nothing"
            raise BadOption(f"renamed() takes two different names for a field of {entity_type}, got {shown}.")
    return by_type


def _followed(entity_type: str, names: Mapping[str, str]) -> dict[str, str]:
    """Each old name with the last name of its row."""
    last = {}
    for name, new in names.items():
        path = [name]
        while new in names:
            path.append(new)
            if new in path[:-1]:
                raise BadOption(
                    f"the names of {entity_type} go in a circle: {' as '.join(map(repr, path))}. Names that were "
                    "swapped take the change that did it: renamed(..., before=ID) or before_transaction=ID."
                )
            new = names[new]  # noqa: PLW2901 - the next name of the row
        last[name] = new
    return last
