"""A question answered from what was kept at a position of the log and from the rows behind it, as by the whole log.

What was kept counts only where the rows behind it leave it true. Where they do not, or where that cannot be told from
them alone, nothing is answered here: the whole log is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn, Protocol

import polars as pl

from auditlab import malformed, order, rekeys, visibility
from auditlab.buckets.checkpoint import Untold, is_untold
from auditlab.buckets.part import ARRIVAL, LINKED, ROWS, Part, Whole
from auditlab.buckets.types import Types
from auditlab.errors import MalformedChange
from auditlab.keyfields import KeyFields, key_sample, shows_key
from auditlab.marks import TransactionSnapshot
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlab.buckets.checkpoint import Kept, Row
    from auditlab.buckets.part import Key
    from auditlab.schema import LogFacts

__all__ = ["BEHIND", "Left", "Near", "Since", "learn", "out_of_turn", "part_of", "settled", "settled_snapshot"]

_TRIED = 20_000
"""Changes of which each image is looked at, whether it tells a change of its key; above, the whole log is asked."""

BEHIND = 2**62
"""An arrival behind all that were counted."""

_WORDS = ("entity_type", "old", "new", "how")
_NO_LINKS = pl.DataFrame(schema={"position": pl.UInt32(), "id": pl.Int64(), **dict.fromkeys(_WORDS, pl.String())})
"""``Recorded.unlinked_keys`` of a log that has none."""


@dataclass(frozen=True, slots=True)
class Since:
    """What was kept of an entity type, and what came to the log since.

    Args:
        kept: What was kept.
        before: The log's facts as they were then.
        rows: All changes of the type that came since, in the order in which they came: ``CHANGES``.
    """

    kept: Kept
    before: LogFacts
    rows: pl.DataFrame

    @property
    def entity_type(self) -> str:
        """The type."""
        return self.kept.entity_type


class Left(Protocol):
    """The rows of an entity type that were kept at a position."""

    def rows(self, touched: pl.Series | None = None) -> pl.DataFrame:
        """``CHANGES`` of some entities, by their ids, and all that are no plain rows; of all if None."""

    @property
    def absent(self) -> pl.Series:
        """The ids (String) of entities that neither ``rows`` nor ``live`` has, and that may have been there."""

    def live(self, types: Types, entity_type: str, touched: pl.Series, *, texts: bool) -> pl.DataFrame:
        """The entities that ``rows`` leaves out, whose one row is their state: as ``selection.Beside``."""

    def others(self, touched: pl.Series) -> pl.DataFrame:
        """``CHANGES`` of the rows that ``rows`` leaves out."""


class Near:
    """What the whole log tells of one entity type, put together from what was kept and from the rows since.

    Args:
        since: Both.
        facts: The log's facts as they are now.
        left: The rows that were kept, read where they are needed.

    Raises:
        Untold: it does not follow from these; ask the whole log.
    """

    def __init__(self, since: Since, facts: LogFacts, left: Left) -> None:
        self.kept, self.before, self.facts, self.left = since.kept, since.before, facts, left
        name = self.kept.entity_type
        early, late = since.before, facts
        same = early.kinds.get(name, {}) == late.kinds.get(name, {}) and early.keys.get(name) == late.keys.get(name)
        if not same:
            raise Untold("its table was changed since")
        self.rows = _behind(since.rows)
        self.links = pl.DataFrame(schema=LINKED)
        if len(self.rows):
            self._check_rows()
            self.links = self._new_links()

    @cached_property
    def types(self) -> Types:
        """The fields of the type, of what was kept and of the rows since."""
        types = Types(self.facts.kinds)
        types.take(self.kept.entity_type, self.kept.fields)
        if len(self.rows):
            learn(part_of([self], self.rows, types, pl.DataFrame(schema=LINKED), None), types)
        return types

    @cached_property
    def _ids(self) -> list[int]:
        """The least and the largest id of the rows since; nothing without any."""
        ids = self.rows["id"]
        return [ids.min(), ids.max()] if len(ids) else []  # type: ignore[list-item]  # a column of whole numbers

    @cached_property
    def last(self) -> pl.DataFrame:
        """``left.rows`` of the entities in the rows since, and of those with a whole history."""
        return self.left.rows(self._touched([]))

    def touched(self) -> pl.Series | None:
        """The ids of the entities of which more than one row kept must be looked at; None where those are all."""
        return self._touched([self.links[side] for side in ("old", "new")])

    def _touched(self, linked: list[pl.Series]) -> pl.Series | None:
        if (self.rows["operation"] == "TRUNCATE").any():
            return None
        whole = pl.Series(self.kept.whole, dtype=pl.String)
        return pl.concat([self.rows["entity_id"], *(ids.alias("entity_id") for ids in (*linked, whole))]).unique()

    def touched_rows(self) -> pl.DataFrame:
        """``left.rows`` of those that were touched."""
        return self.left.rows(self.touched()) if len(self.links) else self.last

    def of_entities(
        self, ids: list[str], rows: pl.DataFrame, truncates: pl.DataFrame, since: pl.DataFrame | None = None
    ) -> Part:
        """A family of entities as a part of the log.

        Args:
            ids: Theirs.
            rows: Their whole histories up to the position: ``CHANGES`` with ``baseline``, in the order of coming.
            truncates: The TRUNCATEs up to there, the same.
            since: Their rows since: ``CHANGES``, the same; where None, they are among all those.
        """
        if self.rows.select((pl.col("operation") == "TRUNCATE").any()).item():
            raise Untold("whether a TRUNCATE ended an entity is told by all of them")
        if self.kept.truncates and bool((self.rows["id"] <= self.kept.ids[1]).any()):
            raise Untold("changes came that stand before a TRUNCATE")
        since = self.rows.filter(pl.col("entity_id").is_in(ids)) if since is None else _behind(since)
        every = self.together([truncates, rows], since)
        if len(since) and len(rows) and bool((since["id"] <= rows["id"].max()).any()):
            self.check_links(every)
        struck = every[ARRIVAL].head(len(truncates)).filter(pl.Series(self.kept.truncates, dtype=pl.Boolean))
        part = part_of([self], every, self.types, self.all_links(every), self.whole(struck, self.kept.unseen))
        if len(self.links) and not part.sequence.links["certain"].all():
            raise Untold("a change of a key is in doubt")
        return part

    def family(self, entity_id: str) -> set[str]:
        """The entity's id and those of the entities that changes of keys lead to from it, or to it."""
        pairs = [(link[4], link[5]) for link in self.kept.links]
        pairs += list(self.links.select("old", "new").iter_rows())
        found = {entity_id}
        while more := {one for pair in pairs if found.intersection(pair) for one in pair} - found:
            found |= more
        return found

    def _check_rows(self) -> None:
        """Refuse rows that make something of what was kept untrue."""
        rows, kept = self.rows, self.kept
        if len(malformed.split(rows, strict=False, read=False)[1]) or is_untold(rows, self.facts, kept.entity_type):
            raise Untold("rows since are no changes, or leave out values that only others tell")
        if why := out_of_turn(rows, kept):
            raise Untold(why)
        read = rows.filter(pl.col("operation") == "SNAPSHOT")
        transaction, at = kept.opened[2:]
        if kept.starts and bool(
            read.select(
                (
                    pl.col("transaction_id").eq_missing(pl.lit(transaction, dtype=pl.Int64))
                    & (pl.col("changed_at") == at)
                ).any()
            ).item()
        ):
            raise Untold("its first states go on")
        truncates = rows.filter(pl.col("operation") == "TRUNCATE")["id"]
        doubled = rows["id"].is_in(truncates.implode()).sum() > len(truncates)
        if len(truncates) and (doubled or bool((truncates <= kept.ids[1]).any())):
            raise Untold("a TRUNCATE came that stands among the changes before")

    def _new_links(self) -> pl.DataFrame:
        """The changes of keys among the rows since, as ``LINKED``."""
        kept, name = self.kept, self.kept.entity_type
        if kept.consulted:
            raise Untold("all changes tell by which fields its key is told")
        schema = {column: CHANGES[column] for column in ("id", "entity_id", "after_snapshot")}
        sample = pl.concat([pl.DataFrame(kept.sample, schema=schema, orient="row"), key_sample(self.rows)])
        self._fields = KeyFields(name, key_sample(sample), _all_changes, self.facts.keys.get(name, ()))
        usual = self._fields.usual()
        if usual != kept.usual:
            raise Untold("another field tells its key")
        by_id = self.rows.sort("id", ARRIVAL)
        suspects = rekeys.image_suspects(by_id, order.numbered(by_id, "changed_at"))
        if usual is not None:
            suspects = suspects.filter(~shows_key("before_snapshot", usual))
        if len(suspects):
            suspects = self._unlike_kept(suspects, by_id)
        if len(suspects) > _TRIED or len(self._by_images(suspects)):
            raise Untold("images may tell a change of a key")
        told = rekeys.told_rows(by_id)
        links = rekeys.links_of(pl.DataFrame(schema=rekeys.LINKS), told)
        if not links["linked"].all():
            raise Untold("a change of a key cannot be linked")
        arrivals = by_id[ARRIVAL]
        return links.with_columns(pl.lit(arrivals.gather(links[side])).alias(side) for side in ("left", "came")).select(
            *LINKED
        )

    def check_links(self, rows: pl.DataFrame) -> None:
        """Refuse where the whole histories of some entities (``ROWS``) tell other changes of keys than both sides."""
        by_id = rows.sort("id", ARRIVAL)
        suspects = rekeys.image_suspects(by_id, order.numbered(by_id, "changed_at"))
        if self.kept.usual is not None:
            suspects = suspects.filter(~shows_key("before_snapshot", self.kept.usual))
        found = set(self._by_images(suspects).select("old", "new").iter_rows())
        ids = set(rows["entity_id"])
        known = {link[4:6] for link in self.kept.links if link[6] == "images" and link[5] in ids}
        if len(suspects) > _TRIED or found != known:
            raise Untold("images may tell another change of a key")

    def _by_images(self, suspects: pl.DataFrame) -> pl.DataFrame:
        return rekeys.by_images(suspects.head(_TRIED), lambda _: self._fields)

    def _unlike_kept(self, suspects: pl.DataFrame, by_id: pl.DataFrame) -> pl.DataFrame:
        """The suspects but for those that are the first change since of an entity, and begin where it was left.

        An entity that was left there is none that ``begins``.
        """
        firsts = by_id.with_row_index("slot").filter(pl.col("entity_id").is_first_distinct())["slot"]
        left = self.last.select("entity_id", left="after_snapshot").unique("entity_id", keep="last")
        told = suspects.join(left, on="entity_id", how="left", maintain_order="left")
        goes_on = pl.col("slot").is_in(firsts.implode()) & (pl.col("before_snapshot") == pl.col("left"))
        told = told.with_columns(pl.col("begins") & pl.col("left").is_null())
        return told.filter(~goes_on.fill_null(value=False)).drop("left")

    def together(self, before: list[pl.DataFrame], since: pl.DataFrame | None = None) -> pl.DataFrame:
        """Rows up to the position, numbered as they come, and those since (all if None) behind them: ``ROWS``."""
        rows = pl.concat([frame.select(*CHANGES, "baseline") for frame in before])
        arrival = pl.int_range(len(rows), dtype=pl.Int64, eager=True).alias(ARRIVAL)
        return pl.concat([rows.hstack([arrival]), self.rows if since is None else since])

    def all_links(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``LINKED``: the changes of keys before and since, by the arrivals of these rows."""
        name = self.kept.entity_type
        if not self.kept.links:
            return self.links
        columns = ("left_id", "left_entity", "came_id", "came_entity", "old", "new", "how")
        schema = {column: CHANGES["id" if column.endswith("_id") else "entity_id"] for column in columns}
        told = pl.DataFrame(self.kept.links, schema=schema, orient="row")
        places = rows.filter(pl.col(ARRIVAL) < BEHIND).select("id", "entity_id", ARRIVAL)
        for side in ("left", "came"):
            own = places.rename({"id": f"{side}_id", "entity_id": f"{side}_entity", ARRIVAL: side})
            told = told.join(own, on=[f"{side}_id", f"{side}_entity"], how="inner", maintain_order="left")
        told = told.with_columns(entity_type=pl.lit(name), linked=pl.lit(value=True))
        return pl.concat([told.select(*LINKED), self.links])

    def whole(self, struck: pl.Series, unseen: int | None) -> Whole:
        """What the whole log tells: ``struck`` and ``unseen`` (of the type, None where all began in it) as given."""
        kept, name = self.kept, self.kept.entity_type
        ids = [*kept.ids, *self._ids]
        if unseen is None and name in self.facts.partial:
            unseen = 0
        return Whole(
            begun={} if kept.begun is None else {name: self._dated(kept.begun)},
            unseen={} if unseen is None else {name: unseen},
            unlinked_keys=_NO_LINKS,
            id_span=(min(ids), max(ids)),
            opened={name: ((kept.opened[0], kept.opened[1]), kept.opened[2], kept.opened[3])},
            changed={name: kept.changed} if kept.changed else {},
            struck=struck,
            malformed=None,
        )

    def _dated(self, row: Row) -> datetime:
        """The time of a row by the log's clock, and by its marks."""
        columns = ("transaction_id", "changed_at", "committed_at")
        frame = pl.DataFrame([row], schema={name: CHANGES[name] for name in columns}, orient="row")
        if self.facts.marks:
            return visibility.dated(frame, self.facts)[visibility.VISIBLE_FROM].item()  # type: ignore[no-any-return]
        return frame[self.facts.clock].item()  # type: ignore[no-any-return]


def _behind(rows: pl.DataFrame) -> pl.DataFrame:
    """``CHANGES`` that came behind a position, in the order in which they came, as ``ROWS``."""
    arrival = pl.int_range(BEHIND, BEHIND + pl.len(), dtype=pl.Int64).alias(ARRIVAL)
    return rows.with_columns(pl.lit(value=False).alias("baseline"), arrival).select(*ROWS)


def out_of_turn(rows: pl.DataFrame, kept: Kept) -> str:
    """What keeps changes (id, transaction_id) from coming after all that was kept; '' where nothing does."""
    ids = rows["transaction_id"]
    if kept.transactions is None:
        after = ids.null_count() == len(ids)
    else:
        after = not kept.nulls and not ids.null_count() and bool((ids > kept.transactions[1]).all())
    if not after:
        return "transactions go on that had changes before"
    if bool((rows["id"] <= kept.begins).any()):
        return "changes came that stand before the first ones"
    return ""


class _Told:
    """What a part asks of the log that it is of (``part.Log``)."""

    def __init__(self, nears: Sequence[Near]) -> None:
        self._nears = nears

    def starts(self) -> dict[str, tuple[int, Key]]:
        """Of the kept rows the arrivals are not known, so each type's first states end behind all of that id."""
        starts = ((near.kept.entity_type, near.kept.starts) for near in self._nears)
        return {name: (start[0], (start[1][0], BEHIND - 1)) for name, start in starts if start is not None}

    def unnumbered(self, entity_types: tuple[str, ...]) -> tuple[int, int]:
        own = [near for near in self._nears if near.kept.entity_type in entity_types]
        since = [near.rows["transaction_id"] for near in own]
        none = sum(ids.null_count() + int((ids < 1).sum()) for ids in since)
        every = sum(map(len, since))
        return none + sum(near.kept.unnumbered for near in own), every + sum(near.kept.rows for near in own)

    def latest(self, own: pl.Expr) -> datetime | None:
        """Of the kept rows all are meant: what is asked for lies behind them."""
        times = []
        for near in self._nears:
            clock, kept = near.facts.clock, near.kept
            times += [
                kept.changed_at if clock == "changed_at" else kept.committed_at,
                near.rows.filter(own)[clock].max(),
            ]
        return max((one for one in times if isinstance(one, datetime)), default=None)

    def unseen_starts(self, seen: TransactionSnapshot) -> dict[str, int]:  # noqa: ARG002
        """None: only what saw all that was kept is asked (``settled_snapshot``), and no log begins behind that."""
        return {}

    def saw_any(self, seen: TransactionSnapshot) -> bool:
        spans = (near.kept.transactions for near in self._nears)
        early = any(span is not None and span[0] < seen.xmin for span in spans)
        return early or any(bool(seen.seen(near.rows["transaction_id"]).any()) for near in self._nears)


def part_of(nears: Sequence[Near], rows: pl.DataFrame, types: Types, links: pl.DataFrame, whole: Whole | None) -> Part:
    """Rows (``ROWS``) as a part of the log of which ``nears`` tell."""
    names = tuple(near.kept.entity_type for near in nears)
    return Part(0, rows, nears[0].facts, entity_types=names, types=types, links=links, log=_Told(nears), whole=whole)


def learn(part: Part, types: Types) -> None:
    """Teach the types of a part what its documents hold.

    Raises:
        Untold: some are none; the whole log tells what becomes of them.
    """
    part.learn()
    try:
        types.refuse(*part.entity_types)
    except MalformedChange as exc:
        raise Untold("images of rows since cannot be read") from exc


def _all_changes() -> NoReturn:
    raise Untold("all changes tell by which fields its key is told")


def settled(kept: Kept, before: LogFacts, facts: LogFacts, at: datetime) -> bool:
    """Whether all changes up to a position were made and seen before an instant, whatever clock and marks tell."""
    latest = kept.changed_at if facts.clock == "changed_at" else kept.committed_at
    if latest is None or kept.overlong:
        return False
    new = set(facts.marks) - set(before.marks)
    if kept.transactions is not None and any(mark.sees.xmin <= kept.transactions[1] for mark in new):
        return False
    marked = bool(facts.marks)
    if marked and facts.visible_within < before.visible_within:
        return False
    return at >= latest + timedelta(seconds=facts.visible_within) * (2 if marked else 1)


def settled_snapshot(kept: Kept, facts: LogFacts, seen: TransactionSnapshot) -> bool:
    """Whether a transaction snapshot saw all changes up to a position."""
    if kept.transactions is None or kept.unnumbered or kept.transactions[1] >= seen.xmin:
        return False
    return facts.snapshot is None or kept.transactions[1] < TransactionSnapshot.of(facts.snapshot).xmin
