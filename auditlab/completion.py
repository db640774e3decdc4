"""Completion: the after images that a log did not record, where what it did record determines them.

A change without an after image left what its changed fields make of the state before it, where it says which fields it
set and to what; else what the entity's next change found. The state before it is its own before image or what the
change before it left, under whatever key. Before images that are missing need no document of their own: they are what
the change before left, and :class:`auditlab.shape.Shape` says so. What nothing tells is not known, and stays so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.changed_fields import listed
from auditlab.lineage import lineage
from auditlab.rows import rows_of
from auditlab.spans import came

if TYPE_CHECKING:
    from auditlab.documents import Documents, Split

__all__ = ["Completed", "completed", "passed_on", "with_images"]

_SHOWN = ("UPDATE", "DELETE", "SNAPSHOT")
"""Changes that show what was there: by their before image, a SNAPSHOT by what it read."""


class Completed(NamedTuple):
    """Documents with those that follow from others.

    Args:
        parts: The documents. Those that only told changed fields are gone, and ``told`` is null. The text of those that
            were put together is left open: ``assembled.written`` writes it, in the order of all fields of the type.
        derived: Boolean by row: the after image was not recorded, but follows from what was.
        merged: Boolean by row: it was put together from a state and changed fields.
    """

    parts: Split
    derived: pl.Series
    merged: pl.Series


def completed(parts: Split, own: pl.DataFrame, steps: pl.DataFrame) -> Completed:
    """The documents with every after image that is determined.

    Args:
        parts: One entity type's documents.
        own: The type's changes by row, with ``position``.
        steps: The type's steps, by entity and turn.
    """
    none = pl.Series([False]).new_from_index(0, len(own))
    missing = own["operation"].is_in(["INSERT", "UPDATE"]) & parts.after.is_null()
    if not missing.any():
        return Completed(parts, none, none)
    placed = _placed(parts, own, steps)
    merged = none
    if parts.told.null_count() < len(own):
        parts = _shown_idle(parts, own, _found_next(placed))
        parts, filled = _merged(parts, _placed(parts, own, steps))
        merged = none.scatter(filled["row"], values=True)
        parts = _compact(parts)
        placed = _placed(parts, own, steps)
    filled = _found_next(placed)
    after = parts.after.scatter(filled["row"], filled["image"])
    return Completed(replace(parts, after=after), missing & after.is_not_null(), merged)


def _shown_idle(parts: Split, own: pl.DataFrame, shown: pl.DataFrame) -> Split:
    """The documents, with what the next change found as what an UPDATE without a list left.

    That it changed nothing is a guess, for where nothing tells.
    """
    unlisted = own.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), bare=~listed()).filter("bare")
    shown = shown.join(unlisted, on="row", how="semi", maintain_order="left")
    return replace(
        parts,
        after=parts.after.scatter(shown["row"], shown["image"]),
        told=parts.told.scatter(shown["row"], values=None),
    )


def _placed(parts: Split, own: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """The steps with ``row``, ``came`` and the numbers of their documents: ``found``, ``left`` and ``told``."""
    rows = own.select("position").with_row_index("row")
    placed = steps.select(
        "entity", "life", "link", "ends", "operation", "position", image=pl.coalesce("before_at", "position"),
        came=came(),
    )  # fmt: skip
    for at, name in (("position", "row"), ("image", "shown")):
        places = rows.select(pl.col("position").alias(at), pl.col("row").alias(name))
        placed = placed.join(places, on=at, how="left", maintain_order="left")
    sides = {"found": parts.before[placed["shown"]]}
    sides |= {"left": parts.after[placed["row"]], "told": parts.told[placed["row"]]}
    stays = ~pl.col("ends")
    return placed.with_columns(**sides).with_columns(
        left=pl.when(stays).then("left"), told=pl.when(stays & pl.col("left").is_null()).then("told")
    )


def _found_next(placed: pl.DataFrame) -> pl.DataFrame:
    """``row`` and ``image`` of the steps that left no image, and whose entity's next step shows what was there."""
    image = pl.when(pl.col("operation") == "SNAPSHOT").then("left").otherwise("found")
    shows = pl.col("operation").is_in(_SHOWN) & ~pl.col("came")
    same = pl.col("entity") == pl.col("entity").shift(-1)
    told = placed.select(
        "row",
        image=pl.when(same & shows.shift(-1)).then(image.shift(-1)),
        open=~pl.col("ends") & pl.col("left").is_null() & (pl.col("operation") != "SNAPSHOT"),
    )
    return told.filter(pl.col("open") & pl.col("image").is_not_null()).select("row", "image")


def _merged(parts: Split, placed: pl.DataFrame) -> tuple[Split, pl.DataFrame]:
    """The documents with those that changed fields make of the states before them; and where they are after images.

    The second is ``row`` and ``image``. Each life is a chain of events, and so are lives that a change of key links:
    one that is full sets the state, changed fields set some of its fields, what is not known sets nothing known.
    """
    events = _events(placed)
    full = pl.col("full")
    events = events.with_columns(
        known=pl.when(full).then("known").forward_fill(),
        bare=pl.when(full).then(pl.col("doc").is_null()).forward_fill(),
        says=pl.Series(_says_something(parts).gather(events["doc"])).fill_null(value=False),
    )
    new = ~full & pl.col("known") & (pl.col("says") | pl.col("bare"))
    events = events.with_columns(new=new).with_row_index("event")
    numbers = len(parts.texts) + (pl.col("new").cum_sum() - 1)
    image = pl.when(full).then("doc").when("new").then(numbers).forward_fill().cast(pl.UInt32)
    events = events.with_columns(image=image)
    made = events["new"]
    fields: dict[str, pl.Series] = {}
    for name, raw in parts.fields.items():
        cell = raw.gather(events["doc"])
        setting = pl.select(pl.when(pl.lit(events["full"]) | pl.lit(cell.is_not_null())).then(pl.lit(events["event"])))
        added = cell.gather(setting.to_series().forward_fill().filter(made))
        fields[name] = pl.concat([raw, added.rename(raw.name)])
    texts = parts.texts.extend_constant(None, int(made.sum()))
    filled = events.filter(~full & pl.col("known")).select("row", "image")
    after = parts.after.scatter(filled["row"], filled["image"])
    return replace(parts, texts=texts, fields=fields, after=after), filled


def _says_something(parts: Split) -> pl.Series:
    """Boolean by document: whether it has any field."""
    says = pl.repeat(value=False, n=len(parts.texts), eager=True)
    for raw in parts.fields.values():
        says |= raw.is_not_null()
    return says


def _events(placed: pl.DataFrame) -> pl.DataFrame:
    """What sets the state of lives with changed fields, in order: ``full``, ``known``, ``doc`` and ``row``."""
    lives = placed.select("entity", "life").unique(maintain_order=True).with_row_index("number")
    lines = lineage(placed)
    if lines is None:
        lives = lives.with_columns(line=pl.col("number").cast(pl.Int64), place=pl.lit(0, dtype=pl.Int64))
    else:
        lives = lives.join(lines, on=["entity", "life"], how="left", maintain_order="left").with_columns(
            line=pl.coalesce(pl.col("line").cast(pl.Int64), -1 - pl.col("number").cast(pl.Int64)),
            place=pl.col("place").fill_null(0),
        )
    steps = placed.with_row_index("step").join(lives, on=["entity", "life"], how="left", maintain_order="left")
    asked = steps.filter(pl.col("told").is_not_null())["line"].unique().implode()
    steps = steps.filter(pl.col("line").is_in(asked)).sort("line", "place", "step")
    first = (pl.col("line") != pl.col("line").shift()).fill_null(value=True)
    begins = pl.col("operation") == "INSERT"
    found = steps.filter(first | begins | pl.col("found").is_not_null()).select(
        "line", "place", "step", pl.lit(0).alias("part"), "row", full=pl.lit(value=True),
        known=begins | pl.col("found").is_not_null(), doc=pl.when(~begins).then("found"),
    )  # fmt: skip
    left = steps.filter(~pl.col("ends")).select(
        "line", "place", "step", pl.lit(1).alias("part"), "row", full=pl.col("told").is_null(),
        known=pl.col("left").is_not_null(), doc=pl.coalesce("left", "told"),
    )  # fmt: skip
    return pl.concat([found, left]).sort("line", "place", "step", "part")


def _compact(parts: Split) -> Split:
    """The documents that are an image of some change, without the fields that none of them has."""
    used = pl.concat([parts.before, parts.after.rename(parts.before.name)]).drop_nulls().unique().sort()
    numbers = pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(parts.texts))
    numbers = numbers.scatter(used, pl.int_range(len(used), dtype=pl.UInt32, eager=True))
    fields = {name: raw.gather(used) for name, raw in parts.fields.items()}
    flags = parts.flags.with_columns(numbers.gather(parts.flags["doc"]).alias("doc")).filter(
        pl.col("doc").is_not_null()
    )
    return replace(
        parts,
        texts=parts.texts.gather(used),
        fields={name: raw for name, raw in fields.items() if raw.null_count() < len(raw)},
        flags=flags,
        before=numbers.gather(parts.before),
        after=numbers.gather(parts.after),
        told=pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(parts.told)),
    )


def passed_on() -> pl.Expr:
    """Over steps: whether an UPDATE gave the row another key; the change itself stands in the entity that it began."""
    return pl.col("ends") & (pl.col("operation") == "UPDATE")


def with_images(changes: pl.DataFrame, steps: pl.DataFrame, documents: Documents) -> pl.DataFrame:
    """The steps with their change's facts and the numbers of their documents: ``before`` and ``after``.

    ``before_derived`` and ``after_derived`` say which of them were not recorded.

    Args:
        changes: One entity type's changes by position, with ``row`` (into the documents).
        steps: The type's steps, by entity and turn.
        documents: The type's documents.
    """
    facts = changes.select("position", "id", "changed_by", "changed_at", "transaction_id", "row")
    at = rows_of(steps["position"], facts["position"])
    joined = steps.hstack(facts.drop("position")[at])
    rows = joined["row"]
    if joined["before_at"].null_count() < len(joined):
        image = facts["row"][rows_of(joined["before_at"], facts["position"])]
        rows = image.zip_with(image.is_not_null(), rows)
    after, derived = documents.after[joined["row"]], documents.derived[joined["row"]]
    told = joined.with_columns(
        before=documents.before[rows].rename("before"), after=pl.when(~passed_on()).then(pl.lit(after))
    )
    return _carried(told.with_columns(after_derived=pl.lit(derived) & pl.col("after").is_not_null()).drop("row"))


def _carried(steps: pl.DataFrame) -> pl.DataFrame:
    """The steps with each before image that was not recorded: what the change before left, under whatever key."""
    same = pl.col("entity") == pl.col("entity").shift()
    left = pl.when(same & ~pl.col("ends").shift()).then(pl.col("after").shift())
    open_ = pl.col("before").is_null() & pl.col("operation").is_in(["UPDATE", "DELETE", "TRUNCATE"])
    steps = steps.with_columns(before=pl.when(open_ & ~came()).then(left).otherwise("before"), before_derived=open_)
    if steps.select((open_ & came()).any()).item():
        ended = steps.filter(pl.col("link").is_not_null() & pl.col("ends")).select("link", held="before")
        steps = steps.join(ended, on="link", how="left", maintain_order="left")
        steps = steps.with_columns(before=pl.when(came()).then(pl.coalesce("before", "held")).otherwise("before"))
        steps = steps.drop("held")
    return steps.with_columns(pl.col("before_derived") & pl.col("before").is_not_null())
