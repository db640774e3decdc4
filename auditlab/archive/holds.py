"""Legal holds: what must stay in the database, whatever its archive has; in a file of the archive's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.archive.files import HashingFile, at_hand, reported, settle, sync_folder
from auditlab.archive.manifest import read_chain
from auditlab.clock import instant
from auditlab.errors import ArchiveCorrupt, BadOption
from auditlab.keys import entity_ids
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.clock import Moment

__all__ = ["HOLDS", "Hold", "hold", "holds", "release"]

HOLDS = "holds.json"
"""The file's name in an archive's folder."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What a hold keeps: the changes that fit all that it names.

    Args:
        name: What it is called.
        entity_type: Changes of this type.
        entity: Changes of this entity: its id, or its key's only value; JSON text of a key of several columns.
        user: Changes by this user.
        start: Changes from this time on, ISO 8601 in UTC.
        end: Changes before this time, ISO 8601 in UTC.
        placed_at: When it was placed.
        released_at: When it was released; None while it holds.
    """

    name: str
    entity_type: str | None = None
    entity: str | None = None
    user: str | None = None
    start: str | None = None
    end: str | None = None
    placed_at: str = ""
    released_at: str | None = None

    def __str__(self) -> str:
        named = (self.entity_type, self.entity and f"entity {self.entity}", self.user and f"changes by {self.user}")
        words = [part for part in named if part]
        words += [f"from {self.start}"] if self.start else []
        words += [f"before {self.end}"] if self.end else []
        ended = f", released {self.released_at}" if self.released_at else ""
        return f"hold {self.name!r} ({', '.join(words)}; placed {self.placed_at}{ended})"

    def covers(self) -> pl.Expr:
        """Whether a change, in the canonical columns, is under it."""
        found = pl.lit(value=True)
        if self.entity_type is not None:
            found &= (pl.col("entity_type") == self.entity_type) | (pl.col("partition") == self.entity_type)
        if self.entity is not None:
            found &= pl.col("entity_id").is_in(self._ids()) | pl.col("entity_id").is_null()  # TRUNCATE is of every row
        if self.user is not None:
            found &= pl.col("changed_by") == self.user
        if self.start is not None:
            found &= pl.col("changed_at") >= pl.lit(datetime.fromisoformat(self.start), dtype=TIME)
        if self.end is not None:
            found &= pl.col("changed_at") < pl.lit(datetime.fromisoformat(self.end), dtype=TIME)
        return found.fill_null(value=False)

    def _ids(self) -> list[str]:
        if self.entity is None or self.entity_type is None:
            return [self.entity or ""]
        key: Any = json.loads(self.entity) if self.entity.lstrip().startswith("{") else self.entity
        return list(dict.fromkeys([self.entity, *entity_ids(self.entity_type, key)]))


def hold(
    folder: str | Path,
    name: str,
    *,
    entity_type: str | None = None,
    entity: object = None,
    user: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
) -> Hold:
    """Place a legal hold: no partition of the log with a change under it is dropped by ``prune`` with this archive.

    Args:
        folder: The archive.
        name: What to call it, to release it by.
        entity_type: Changes of this type.
        entity: Changes of this entity of that type: its id, or its key (a value, or a mapping of columns to values).
        user: Changes by this user.
        start: Changes from this time on; naive times are UTC.
        end: Changes before this time.

    Raises:
        BadOption: nothing is named that it should hold, an entity without its type, or a hold of that name holds.
        NotAnArchive: the folder holds no archive.
        ArchiveError: the file cannot be written.
    """
    if all(one is None for one in (entity_type, entity, user, start, end)):
        raise BadOption("a hold names what it keeps: an entity type, an entity, a user, a start or an end.")
    if entity is not None and entity_type is None:
        raise BadOption("a hold of an entity names its type, too: entity_type=, --type.")
    first, last = (None if one is None else instant(one, "UTC", bound=True).isoformat() for one in (start, end))
    if first is not None and last is not None and not first < last:
        raise BadOption(f"the hold would begin ({first}) when it ends ({last}) or later.")
    told = None if entity is None else json.dumps(entity, default=str) if isinstance(entity, dict) else str(entity)
    placed = Hold(name, entity_type, told, user, first, last, placed_at=_now())
    there = holds(folder)
    if any(one.name == name and one.released_at is None for one in there):
        raise BadOption(f"a hold {name!r} is placed already. Release it, or give another name.")
    _write(Path(folder), [*there, placed])
    return placed


def release(folder: str | Path, name: str) -> Hold:
    """End a hold; that it was placed stays known.

    Raises:
        BadOption: no such hold holds; the message names those that do.
    """
    there = holds(folder)
    held = [one for one in there if one.released_at is None]
    if name not in {one.name for one in held}:
        raise BadOption(
            f"no hold {name!r} is placed. There are: {', '.join(repr(one.name) for one in held) or 'none'}."
        )
    ended = [
        Hold(**{**asdict(one), "released_at": _now()}) if one.name == name and one.released_at is None else one
        for one in there
    ]
    _write(Path(folder), ended)
    return next(one for one in reversed(ended) if one.name == name)


def holds(folder: str | Path) -> list[Hold]:
    """All holds of an archive in the order in which they were placed, the released ones too.

    Raises:
        NotAnArchive: the folder holds no archive.
        ArchiveCorrupt: the file of holds cannot be read: then nothing tells what is held.
    """
    place = at_hand(folder, "a hold")
    read_chain(place)
    path = place / HOLDS
    try:
        return [Hold(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as exc:
        raise ArchiveCorrupt(f"{path}: cannot be read ({exc}): what is held cannot be told.") from exc


def _write(folder: Path, placed: list[Hold]) -> None:
    with reported(folder):
        written = HashingFile(folder)
        try:
            written.write((json.dumps([asdict(one) for one in placed], indent=1) + "\n").encode())
            written.finish()
            settle(written.path, HOLDS)
            sync_folder(folder)
        finally:
            written.discard()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
