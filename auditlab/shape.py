"""The derived tables of one entity type: what was true when, and what each change did.

Everything hard happens here, once: a question is then a filter over ``history``, ``field_changes`` or ``field_states``.
Fields carry internal names (``f0``, ``f1``, ...) in these tables, so that no field's name can collide with a column or
differ from another only in case; :meth:`Shape.public` gives the real names back.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from auditlab.completion import passed_on, with_images
from auditlab.errors import UnknownField
from auditlab.field_changes import field_changes
from auditlab.field_states import field_states
from auditlab.knowledge import Knowledge, records_by_clock, records_by_field
from auditlab.lineage import lineage
from auditlab.origins import Origins
from auditlab.places import places, version_places
from auditlab.schema import HISTORY, TIME
from auditlab.set_aside import ASIDE, gaps, interrupted
from auditlab.spans import SpanIndex, came, running_sum, spans, untold
from auditlab.valid_time import valid_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditlab.documents import Documents
    from auditlab.marks import TransactionSnapshot
    from auditlab.values import Column

__all__ = ["FACTS", "Shape"]

FACTS = ("position", "row", "id", "entity_id", "operation", "changed_by", "changed_at", "transaction_id")
"""What a shape takes of the changes themselves; their images it takes from the documents."""


class Shape:
    """The derived tables of one entity type.

    Args:
        entity_type: Its name.
        changes: The type's changes by position: ``FACTS``, of which ``row`` is into the documents.
        steps: The type's part of :class:`auditlab.order.Sequence` ``.steps``.
        documents: The type's distinct documents.
        unordered: Positions whose order is ambiguous.
        struck: Positions of TRUNCATEs that ended an entity, if not one of these.
        aside: The type's rows that were set aside (``auditlab.set_aside.ASIDE``); None for none.
    """

    def __init__(
        self,
        entity_type: str,
        changes: pl.DataFrame,
        steps: pl.DataFrame,
        documents: Documents,
        unordered: pl.Series,
        struck: pl.Series,
        aside: pl.DataFrame | None = None,
    ) -> None:
        self.entity_type = entity_type
        self.documents = documents
        self.columns: tuple[Column, ...] = documents.columns
        self._steps = with_images(changes, steps, documents)
        self._truncates = changes.filter(pl.col("operation") == "TRUNCATE")
        self._truncated: int | None = self._truncates["position"].min()  # type: ignore[assignment]  # whole numbers
        self._unordered = unordered
        self._struck = struck
        self.aside = pl.DataFrame(schema=ASIDE) if aside is None else aside
        self._knowledge: dict[tuple[int | None, str], Knowledge] = {}

    @cached_property
    def versions(self) -> pl.DataFrame:
        """``HISTORY``'s columns with ``position``, ``turn`` and ``doc`` (UInt32, its document), without the fields."""
        found = _versions(self._steps, self.columns, self._unordered)
        if self.aside.is_empty():
            return found
        return found.with_columns(pl.col("certain") & ~pl.lit(interrupted(found, self.aside)))

    @cached_property
    def history(self) -> pl.DataFrame:
        """``versions`` with ``state`` (the recorded text) and the typed fields ``f0``, ``f1``, ..."""
        return self.with_fields(self.versions)

    def with_fields(self, versions: pl.DataFrame, wanted: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows of ``versions`` with ``state`` and the typed fields, or those of them that are wanted; no ``doc``."""
        doc = versions["doc"]
        places = {f"f{place}": column for place, column in enumerate(self.columns)}
        names = ("state", *places) if wanted is None else wanted
        made = {
            name: self.documents.texts[doc] if name == "state" else places[name].of(doc).typed.alias(name)
            for name in names
        }
        return versions.drop("doc").with_columns(**made)

    def places_of(self, fields: Sequence[str] | None) -> list[int]:
        """The places of some fields, in the type's order; of all if None.

        Raises:
            UnknownField: the type never had such a field.
        """
        names = [column.name for column in self.columns]
        unknown = [name for name in fields or () if name not in names]
        if unknown:
            have = ", ".join(map(repr, names))
            raise UnknownField(f"{self.entity_type} never had {', '.join(map(repr, unknown))}. It has {have}.")
        return [place for place, name in enumerate(names) if fields is None or name in fields]

    @cached_property
    def field_changes(self) -> pl.DataFrame:
        """``FIELD_CHANGES``' columns with ``position``, ``effective`` and ``place``, by position, entity id, place."""
        return field_changes(self.entity_type, self._steps, self.columns)

    @cached_property
    def field_states(self) -> pl.DataFrame:
        """``FIELD_STATES``: for each entity and field, its values with the time that each held."""
        return field_states(self.versions, self.columns)

    @cached_property
    def origins(self) -> Origins:
        """The change that set each field of each version."""
        broken = interrupted(self.versions, self.aside) if len(self.aside) else None
        return Origins(self.versions, self._steps, self.columns, self._unordered, self._truncated, broken)

    @property
    def field_origins(self) -> pl.DataFrame:
        """``auditlab.origins.FIELD_ORIGINS``: each field's values with the change that set each."""
        return self.origins.table

    @cached_property
    def spans(self) -> pl.DataFrame:
        """``auditlab.spans.SPANS``: for each entity, when it was live, and when not and why."""
        return spans(self._steps, self._truncated)

    @cached_property
    def without_image(self) -> pl.DataFrame:
        """:func:`auditlab.spans.untold`: when no image tells what an entity was."""
        return untold(self._steps, self._truncated)

    @cached_property
    def gaps(self) -> pl.DataFrame:
        """:func:`auditlab.set_aside.gaps`: the same of entities that were absent, by rows that were set aside."""
        if self.aside.is_empty():
            return self.without_image.clear()
        return gaps(self._steps, self._truncated, self.aside).select(self.without_image.columns)

    @cached_property
    def untold(self) -> pl.DataFrame:
        """When the log does not tell what an entity was: ``without_image``, and ``gaps``."""
        return pl.concat([self.without_image, self.gaps]) if len(self.gaps) else self.without_image

    @cached_property
    def span_index(self) -> SpanIndex:
        """The steps, indexed for lookups by entity and time."""
        return SpanIndex.of(self._steps, self._truncated)

    def knowledge(self, place: int | None, zone: str) -> Knowledge:
        """What was known when, indexed: by the valid time of a field (its place), or by ``changed_at`` (None)."""
        if (place, zone) not in self._knowledge:
            if place is None:
                records = records_by_clock(self._steps, self._truncated)
            else:
                valid = valid_times(self.columns[place], zone)
                records = records_by_field(self._steps, self.versions, self._truncated, valid)
            self._knowledge[place, zone] = Knowledge.of(records)
        return self._knowledge[place, zone]

    @cached_property
    def steps(self) -> pl.DataFrame:
        """Each change of each entity with the state after it: who and when, ``effective``, ``live`` and the fields.

        ``live`` is null where the log does not tell the state after a change. A state that was there before its first
        logged change is a row of its own (``part`` 0, ``effective`` null).
        """
        told = self._steps.select(
            "entity_id", "position", "turn", pl.lit(1).alias("part"), "id", "operation", "changed_by", "changed_at",
            "transaction_id", "effective", "life",
            pl.when(pl.col("ends") | pl.col("after").is_not_null()).then(~pl.col("ends")).alias("live"),
            pl.col("after").alias("doc"),
        )  # fmt: skip
        unseen = self.versions.filter(pl.col("origin") == "unknown").select(
            "entity_id", "position", "turn", pl.lit(0).alias("part"), "id", "operation", "changed_by", "changed_at",
            "transaction_id", pl.col("valid_from").alias("effective"), "life", pl.lit(value=True).alias("live"), "doc",
        )  # fmt: skip
        return self.with_fields(pl.concat([told, unseen]))

    @cached_property
    def places(self) -> pl.DataFrame:
        """``auditlab.places.PLACES``: the changes of each entity by number, with the versions around them."""
        return places(self._steps, self.versions)

    @cached_property
    def version_places(self) -> pl.Series:
        """``auditlab.places.version_places``: by row of ``versions``, the change that left it."""
        return version_places(self.places, len(self.versions))

    @cached_property
    def lines(self) -> pl.DataFrame | None:
        """:func:`auditlab.lineage.lineage`: which lives are one row of the table under several keys."""
        return lineage(self._steps)

    def emptied_unseen(self, seen: TransactionSnapshot) -> bool:
        """Whether a snapshot missed the type's first TRUNCATE and saw a change behind it, as no server makes it."""
        if self._truncated is None:
            return False
        first = self._truncates.filter(pl.col("position") == self._truncated)["transaction_id"]
        later = self._steps.filter(pl.col("position") > self._truncated)["transaction_id"]
        return not seen.seen(first).any() and bool(seen.seen(later).any())

    @property
    def images(self) -> pl.DataFrame:
        """The changes of each entity by turn, with ``before`` and ``after``: the numbers of their recorded documents.

        A change of a key that is one row of the log stands once: in the entity that it began.
        """
        recorded = (pl.when(~pl.col(f"{side}_derived")).then(side).alias(side) for side in ("before", "after"))
        return self._steps.filter(~passed_on()).with_columns(recorded)

    @cached_property
    def entity_changes(self) -> pl.DataFrame:
        """The changes as the entities saw them: a TRUNCATE stands once for each entity that it ended.

        One that ended none that the log knows of stands once, without an entity. A change of a key stands in the entity
        that it ended and in the one that it began.
        """
        seen = [
            "position", "changed_at", "changed_by", "operation", pl.lit(self.entity_type).alias("entity_type"),
            "entity_id", "id", "transaction_id", "effective", "ends", "turn", "link",
        ]  # fmt: skip
        idle = (
            self._truncates.filter(~pl.col("position").is_in(self._struck.implode()))
            .with_columns(effective=pl.col("changed_at"), ends=pl.lit(value=True))
            .join(self._steps, on="position", how="anti")
        )
        idle = idle.with_columns(turn="position", link=pl.lit(None, dtype=pl.UInt32))
        return pl.concat([self._steps.select(seen), idle.select(seen)]).sort("position", maintain_order=True)

    def public(self, frame: pl.DataFrame, taken: Iterable[str]) -> pl.DataFrame:
        """``frame`` with the real names of its fields; a name that is among ``taken`` becomes ``field.<name>``."""
        names = {f"f{place}": name for place, name in enumerate(self.public_names(taken))}
        return frame.rename(names, strict=False)

    def public_names(self, taken: Iterable[str]) -> list[str]:
        """The fields' names in a result that has the columns ``taken``; never twice the same."""
        used = {name.casefold() for name in taken}
        names: list[str] = []
        recorded = {column.name for column in self.columns}
        for column in self.columns:
            name = column.name
            while name.casefold() in used or (name != column.name and name in recorded):
                name = f"field.{name}"
            used.add(name.casefold())
            names.append(name)
        return names


def _same_entity(offset: int) -> pl.Expr:
    return pl.col("entity") == pl.col("entity").shift(offset)


def _next(column: str) -> pl.Expr:
    return pl.when(_same_entity(-1)).then(pl.col(column).shift(-1))


def _versions(steps: pl.DataFrame, columns: tuple[Column, ...], unordered: pl.Series) -> pl.DataFrame:
    image = pl.when(pl.col("operation") == "SNAPSHOT").then(pl.col("after")).otherwise(pl.col("before"))
    begins = pl.when(came()).then(pl.lit("INSERT")).otherwise("operation")
    steps = steps.with_columns(image=image, begins=begins).with_columns(
        next_effective=_next("effective"),
        next_id=_next("id"),
        next_operation=_next("begins"),
        next_image=_next("image"),
        certain=~pl.col("position").is_in(unordered.implode()),
    )
    states = steps.filter(~pl.col("ends") & pl.col("after").is_not_null()).select(
        "entity",
        "position",
        "turn",
        pl.lit(1).alias("part"),
        "entity_id",
        "life",
        pl.col("effective").alias("valid_from"),
        pl.col("next_effective").alias("valid_to"),
        "operation",
        pl.col("next_id").alias("ended_by"),
        "changed_by",
        "changed_at",
        "transaction_id",
        "id",
        pl.when("after_derived").then(pl.lit("derived")).otherwise(pl.lit("observed")).alias("origin"),
        "certain",
        pl.col("after").alias("doc"),
        "next_image",
        "next_operation",
    )
    early = steps["unseen"] & steps["before"].is_not_null()
    versions = pl.concat([states, _unseen(steps.filter(early))]).sort(*_PLACE) if early.any() else states
    followed = ~_differs(versions["doc"], versions["next_image"], columns) & (
        versions["next_operation"].ne_missing("INSERT")
    )
    made = {
        "version": running_sum(versions["entity"], pl.repeat(1, len(versions), eager=True)).alias("version"),
        "certain": (versions["certain"] & followed).alias("certain"),
    }
    return versions.select(*(made.get(name, name) for name in HISTORY), "position", "turn", "doc", "entity")


_PLACE = ("entity", "turn", "part")
"""By which versions stand: of one step, what it found comes before what it left."""


def _unseen(steps: pl.DataFrame) -> pl.DataFrame:
    """The versions that were there before some steps, and that no change left."""
    never = pl.lit(None)
    return steps.select(
        "entity",
        "position",
        "turn",
        pl.lit(0).alias("part"),
        "entity_id",
        "life",
        pl.when(~pl.col("since_ever")).then(pl.col("effective")).alias("valid_from"),
        pl.col("effective").alias("valid_to"),
        never.cast(pl.String).alias("operation"),
        pl.col("id").alias("ended_by"),
        never.cast(pl.String).alias("changed_by"),
        never.cast(TIME).alias("changed_at"),
        never.cast(pl.Int64).alias("transaction_id"),
        never.cast(pl.Int64).alias("id"),
        pl.lit("unknown").alias("origin"),
        "certain",
        pl.col("before").alias("doc"),
        never.cast(pl.UInt32).alias("next_image"),
        never.cast(pl.String).alias("next_operation"),
    )


def _differs(one: pl.Series, other: pl.Series, columns: tuple[Column, ...]) -> pl.Series:
    """True where both documents are known and are not equal as values."""
    differs = (one != other).fill_null(value=False)
    pairs = pl.DataFrame({"one": one, "other": other}).filter(differs)
    if pairs.is_empty():
        return differs
    unequal = pl.Series([False] * len(pairs))
    for column in columns:
        unequal |= column.code.gather(pairs["one"]).ne_missing(column.code.gather(pairs["other"]))
    return differs.scatter(differs.arg_true(), unequal)
