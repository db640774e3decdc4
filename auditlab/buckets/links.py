"""Changes of keys in a log that is dealt out: found over all buckets, and each row brought to where it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed, order, rekeys
from auditlab.buckets.part import ARRIVAL, LINKED, sound
from auditlab.buckets.spill import compact
from auditlab.keyfields import KeyFields, key_sample, shows_key
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditlab.buckets.compartments import Compartments
    from auditlab.buckets.part import Silent

__all__ = ["Links", "linked"]

_IMAGES = ("id", "entity_id", "after_snapshot")
_SUSPECTS = ("id", ARRIVAL, "begins", "entity_type", "entity_id", "before_snapshot", "after_snapshot", "metadata")


class Links:
    """Finds the changes of keys.

    Args:
        keys: entity type -> the columns of its primary key, as the source's catalog declares them.
        read: Whether rows with images that are no JSON are left out.
    """

    def __init__(self, keys: Mapping[str, tuple[str, ...]], *, read: bool = False) -> None:
        self._keys, self._read = keys, read
        self._samples: dict[str, pl.DataFrame] = {}
        self.consulted: set[str] = set()
        """Entity types of which all changes had to be looked at, to tell by which fields a key is told."""

    def sample(self, rows: pl.DataFrame) -> None:
        """Take in some rows of the log, to know by what field a key is told."""
        for (name,), own in rows.group_by("entity_type"):
            entity_type = str(name)
            some = rows[0:0].vstack(_least(own))
            changes, _ = malformed.split(some, strict=False, whole=False, read=self._read)
            known = self._samples.get(entity_type)
            parts = [key_sample(changes)] if known is None else [known, key_sample(changes)]
            self._samples[entity_type] = compact(key_sample(pl.concat(parts)))

    def sample_of(self, entity_type: str) -> pl.DataFrame:
        """``keyfields.key_sample`` of all rows of a type that were taken in."""
        return self._samples.get(entity_type, key_sample(pl.DataFrame(schema=CHANGES)))

    def found(self, dealt: Compartments, clock: str, silent: Silent) -> pl.DataFrame:
        """``LINKED``'s columns, from rows that are dealt out by entity."""
        fields = {name: self._fields(name, sample, dealt) for name, sample in self._samples.items()}
        usual = {name: each.usual() for name, each in fields.items()}
        suspects, told = [], []
        for number in range(len(dealt)):
            rows, _ = sound(dealt.read(number), silent.sides, read=self._read)
            images = rekeys.image_suspects(rows, order.numbered(rows, clock))
            images = images.with_columns(rows.select("id", ARRIVAL)[images["slot"]])
            groups = images.group_by("entity_type")
            suspects += [compact(_unusual(own, usual.get(str(name)))) for (name,), own in groups]
            halves = rekeys.told_rows(rows)
            halves = halves.with_columns(rows.select("id", ARRIVAL)[halves["slot"]])
            moved = pl.any_horizontal(
                pl.col("metadata").str.contains('"rekeyed_', literal=True),
                pl.col("metadata").str.contains('"partition"', literal=True),
                pl.col("partition").is_not_null(),
            )
            told.append(compact(halves.filter(moved)))
        return _links(_together(suspects, _SUSPECTS), _together(told, ("id", ARRIVAL, *rekeys.TOLD[1:])), fields)

    def _fields(self, entity_type: str, sample: pl.DataFrame, dealt: Compartments) -> KeyFields:
        def own() -> Iterator[pl.DataFrame]:
            self.consulted.add(entity_type)
            for number in range(len(dealt)):
                rows = dealt.read(number, [*_IMAGES, "entity_type"])
                yield rows.filter(pl.col("entity_type") == entity_type)

        return KeyFields(entity_type, sample, own, self._keys.get(entity_type, ()))


def _least(own: pl.DataFrame) -> pl.DataFrame:
    """More rows with an after image than a sample needs, those whose ids have the least hashes."""
    return own.filter(pl.col("after_snapshot").is_not_null()).bottom_k(200, by=pl.col("id").hash())


def _unusual(suspects: pl.DataFrame, usual: str | None) -> pl.DataFrame:
    return suspects if usual is None else suspects.filter(~shows_key("before_snapshot", usual))


def _together(frames: list[pl.DataFrame], columns: tuple[str, ...]) -> pl.DataFrame:
    """The rows of all buckets in the order of their ids."""
    rows = pl.concat([frame.select(columns) for frame in frames]) if frames else pl.DataFrame(schema=columns)
    return rows.sort("id", ARRIVAL) if frames else rows


def _links(suspects: pl.DataFrame, told: pl.DataFrame, fields: Mapping[str, KeyFields]) -> pl.DataFrame:
    """``LINKED``'s columns, from the rows that may tell a change of a key."""
    known = [frame.select("id", ARRIVAL) for frame in (suspects, told) if frame.height]
    if not known:
        return pl.DataFrame(schema=LINKED)
    places = pl.concat(known).unique().sort("id", ARRIVAL).with_row_index("slot").select("slot", ARRIVAL)
    if suspects.height:
        suspects = suspects.join(places, on=ARRIVAL, how="left", maintain_order="left")
        by_images = rekeys.by_images(suspects, fields.__getitem__)
    else:
        by_images = pl.DataFrame(schema=rekeys.LINKS)
    if told.height:
        told = told.join(places, on=ARRIVAL, how="left", maintain_order="left").select(rekeys.TOLD)
        links = rekeys.links_of(by_images, told)
    else:
        links = by_images.sort("came", "left")
    arrivals = places[ARRIVAL]
    return links.with_columns(pl.lit(arrivals.gather(links[side])).alias(side) for side in ("left", "came")).select(
        *LINKED
    )


def linked(links: pl.DataFrame, count: int) -> pl.DataFrame | None:
    """Where the entities go whose rows got another key: entity_id and ``to``, the number of a bucket.

    Those between which rows went on are all brought to one.
    """
    if links.is_empty():
        return None
    root: dict[str, str] = {}  # by id alone: types that share ids stay together

    def top(name: str) -> str:
        while root.setdefault(name, name) != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for old, new in links.select("old", "new").iter_rows():
        one, other = top(old), top(new)
        root[max(one, other)] = min(one, other)
    names = [(name, top(name)) for name in list(root)]
    frame = pl.DataFrame(names, schema=dict.fromkeys(("entity_id", "root"), pl.String), orient="row")
    return frame.select("entity_id", to=pl.col("root").hash() % count)
