"""Archives with checkpoints, asked with and without them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import same_answers

import auditlab as al
from auditlab.archive.manifest import read_chain
from auditlab.archive.write import ArchiveWriter
from auditlab.load.source import batches
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from same_answers import Verbs

    from auditlab.schema import LogFacts

USED: Counter[str] = Counter()
"""How often a question was answered from a checkpoint, and how often it was not."""


def add(folder: Path, rows: pl.DataFrame, facts: LogFacts, baseline: pl.DataFrame | None = None) -> None:
    """Add rows to an archive, or begin one with them, as a pull does."""
    chain = read_chain(folder) if folder.exists() else ()
    with ArchiveWriter(folder, chain=chain) as writer:
        for batch in () if baseline is None else batches(baseline.select(*CHANGES)):
            writer.write(batch, role="baseline")
        for batch in batches(rows.select(*CHANGES)):
            writer.write(batch)
        writer.commit(facts)


def pulled(frame: pl.DataFrame, cuts: Iterable[float]) -> list[pl.DataFrame]:
    """The rows as several pulls bring them, each with the transactions up to one."""
    ids = frame["transaction_id"].drop_nulls().unique().sort()
    if len(ids) < 2 or frame["transaction_id"].null_count():
        return [frame]
    bounds = sorted({int(ids[int(cut * (len(ids) - 1))]) for cut in cuts})
    number = pl.Series(bounds).search_sorted(frame["transaction_id"], side="left")
    return [own for place in range(len(bounds) + 1) if len(own := frame.filter(number == place))]


def whole(folder: Path) -> al.ChangeLog[pl.LazyFrame]:
    """The archive's log, asked without its checkpoints."""
    log = al.scan_archive(folder)
    log.selected.recorded.shortcuts = None
    return log


class Watched:
    """The shortcuts of a log, counted."""

    def __init__(self, log: al.ChangeLog[Any]) -> None:
        self._own = log.selected.recorded.shortcuts
        log.selected.recorded.shortcuts = self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def asked(*args: Any) -> Any:  # noqa: ANN401 - whatever it answers
            found = getattr(self._own, name)(*args)
            USED[f"{name} {'not ' if found is None else ''}used"] += 1
            return found

        return asked


def assert_same(folder: Path, verbs: Verbs, *, engine: str = "duckdb", memory: str | None = None) -> None:
    """Each verb, asked of a log of its own: with and without checkpoints the same frame, error and warnings."""

    def opened() -> al.ChangeLog[Any]:
        log = al.scan_archive(folder, memory=memory).on(engine)  # once it was read, it is asked itself
        Watched(log)
        return log

    same_answers.assert_same(whole(folder).on(engine), opened, verbs)


def of_entity(entity_type: str, key: str, middle: Any) -> Verbs:  # noqa: ANN401 - a time
    """Every verb that tells of one entity."""

    def own(log: al.ChangeLog[Any]) -> al.ChangeLog[Any]:
        return log.of(entity_type).entity(key)

    return {
        f"{name} of {key!r} of {entity_type}": verb
        for name, verb in {
            "changes": lambda log: own(log).changes(),
            "history": lambda log: own(log).history(),
            "diffs": lambda log: log.entity(key, entity_type).diffs(),
            "blame": lambda log: own(log).blame(),
            "as of": lambda log: own(log).as_of(),
            "as of a time": lambda log: own(log).as_of(middle),
            "as of an id": lambda log: own(log).as_of(id=7),
            "compare": lambda log: own(log).compare(middle, log.facts.coverage.end),
            "timeline": lambda log: own(log).timeline(),
            "replay": lambda log: own(log).replay(steps=True),
            "key changes": lambda log: own(log).key_changes(),
            "doubtful": lambda log: own(log).doubtful(middle),
            "picked": lambda log: own(log).where(operation="UPDATE").diffs(),
        }.items()
    }


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with rows lost": {"lossy": True},
    "with commit times": {"committed": True},
    "with keys that change": {"rekeyed": True},
    "with keys that change and partitions": {"rekeyed": True, "partitioned": True},
    "with unavailable values": {"unavailable": True},
}


def as_of_any(log: al.ChangeLog[Any], frame: pl.DataFrame) -> Verbs:
    """As of times, ids and marks all over a log, of all types and of each."""
    coverage = log.facts.coverage
    assert coverage.start is not None
    assert coverage.end is not None
    ids, transactions = frame["id"].unique().sort(), frame["transaction_id"].drop_nulls().unique().sort()
    verbs: Verbs = {"now": lambda log: log.as_of()}
    for share in (0.2, 0.5, 0.8, 1.0):
        at = coverage.start + (coverage.end - coverage.start) * share
        id_ = int(ids[int(share * (len(ids) - 1))])
        verbs[f"at {share}"] = lambda log, at=at: log.as_of(at)
        verbs[f"doubtful at {share}"] = lambda log, at=at: log.with_marks([], visible_within=40).doubtful(at)
        verbs[f"in doubt at {share}"] = lambda log, at=at: log.with_marks([], visible_within=4000).as_of(at)
        verbs[f"at {share}, keys"] = lambda log, at=at: log.as_of(at, fields=[])
        verbs[f"of id {share}"] = lambda log, id_=id_: log.as_of(id=id_)
        if len(transactions):
            last = int(transactions[int(share * (len(transactions) - 1))])
            mark = al.Mark(at=at, snapshot=f"{last}:{last + 2}:{last}")
            verbs[f"of mark {share}"] = lambda log, mark=mark: log.with_marks(mark, visible_within=0).as_of(mark=mark)
            verbs[f"beside mark {share}"] = lambda log, mark=mark, at=at: log.with_marks(mark, visible_within=60).as_of(
                at
            )
    own = {
        f"{name} of {entity_type}": lambda log, verb=verb, entity_type=entity_type: verb(log.of(entity_type))
        for name, verb in verbs.items()
        for entity_type in log.entity_types
    }
    images = frame.filter(pl.col("after_snapshot").is_not_null()).select("entity_type", "after_snapshot")
    fields = {name: list(json.loads(text))[:1] for name, text in images.iter_rows()}  # asking the log would read it
    own |= {
        f"now, a field of {name}": lambda log, name=name, field=field: log.of(name).as_of(fields=field)
        for name, field in fields.items()
    }
    return verbs | own
