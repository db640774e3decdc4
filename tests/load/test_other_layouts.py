"""Logs of one shop in the layouts of other tools answer as the shop was, and as the same log in our columns."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pytest
from simulated import FIELDS, KEYS, Done, as_csv, canonical, simulate, state, text
from soak import SOAK

import auditlab as al

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Log = al.ChangeLog[Any]
    Written = Callable[[Sequence[Done], Path], Log]

KEY = {f"shop.{table}": names for table, names in KEYS.items()}
KINDS = {"status": "text", "total": "number", "paid": "boolean", "note": "text", "tags": "json"}
COUNT = 200


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text(as_csv(rows) if path.suffix == ".csv" else "".join(text(row) + "\n" for row in rows))
    return path


def flat(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"tags": None if row["tags"] is None else text(row["tags"])}


def ours(done: Sequence[Done], folder: Path, *, flattened: bool) -> Log:
    if flattened:
        sides = ("before", "after")
        told = [{side: row and flat(row) for side in sides if (row := getattr(one, side))} for one in done]
        done = [replace(one, **rows) for one, rows in zip(done, told, strict=True)]
    return al.read_jsonl(written(folder / "ours.jsonl", [*canonical(done)]), key=KEY)


def supa_audit(done: Sequence[Done], folder: Path) -> Log:
    rows = [
        {
            "id": one.id, "record_id": None if one.after is None else f"{one.table} {[*one.key.values()]}",
            "old_record_id": None, "op": one.operation, "ts": one.at, "table_oid": 1, "table_schema": "shop",
            "table_name": one.table, "record": one.after, "old_record": one.before,
        }
        for one in done
    ]  # fmt: skip
    return al.read_csv(
        written(folder / "record_version.csv", rows),
        columns={
            "entity_type": ["table_schema", "table_name"], "operation": "op", "changed_by": None, "changed_at": "ts",
            "before_snapshot": "old_record", "after_snapshot": "record", "transaction_id": None,
        },
        key=KEY,
    )  # fmt: skip


def maxwell(done: Sequence[Done], folder: Path) -> Log:
    rows = []
    for one in done:
        row = {"database": "shop", "table": one.table, "type": one.operation.lower(), "ts": int(one.at.timestamp())}
        row |= {"xid": one.transaction, "data": one.after or one.before}
        if one.operation == "UPDATE":
            row["old"] = {name: told for name, told in one.before.items() if told != one.after[name]}
        rows.append(row)
    return al.read_jsonl(
        written(folder / "maxwell.jsonl", rows),
        columns={
            "id": None, "entity_type": ["database", "table"], "operation": "type", "changed_by": None,
            "changed_at": "ts", "after_snapshot": "data", "old": "old", "transaction_id": "xid",
        },
        key=KEY, unit="s",
    )  # fmt: skip


def pairs(done: Sequence[Done], folder: Path) -> Log:
    """As paper_trail's object_changes and django-auditlog: pairs everywhere."""
    rows = []
    for one in done:
        before, after = one.before or {}, one.after or {}
        names = {**before, **after}
        diff = {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}
        if one.operation != "UPDATE":
            diff = {name: [before.get(name), after.get(name)] for name in names}
        rows.append(_stated(one) | {"diff": diff})
    return al.read_csv(written(folder / "pairs.csv", rows), columns={"diff": "diff"})


def audited(done: Sequence[Done], folder: Path) -> Log:
    rows = []
    for one in done:
        diff = one.after or one.before
        if one.operation == "UPDATE":
            diff = {name: [told, one.after[name]] for name, told in one.before.items() if told != one.after[name]}
        rows.append(_stated(one) | {"audited_changes": diff})
    return al.read_csv(written(folder / "audits.csv", rows), columns={"diff": "audited_changes"})


def two_columns(done: Sequence[Done], folder: Path) -> Log:
    """As Laravel auditing: what changed, old in one column and new in the other."""
    rows = []
    for one in done:
        old, new = one.before or {}, one.after or {}
        if one.operation == "UPDATE":
            old, new = ({name: side[name] for name in new if one.before[name] != new[name]} for side in (old, new))
        rows.append(_stated(one) | {"old_values": old or [], "new_values": new or []})
    return al.read_csv(written(folder / "audits.csv", rows), columns={"old": "old_values", "new": "new_values"})


def _stated(one: Done) -> dict[str, Any]:
    key = next(iter(one.key.values()))
    return {
        "id": one.id, "entity_type": f"shop.{one.table}", "entity_id": key, "operation": one.operation,
        "changed_by": one.user, "changed_at": one.at, "transaction_id": one.transaction,
    }  # fmt: skip


def feed(done: Sequence[Done], folder: Path) -> Log:
    """As Delta Lake's change data feed, the rows of one commit in any order."""
    del folder
    rows = []
    for one in done:
        words = {"INSERT": ("", "insert"), "DELETE": ("delete", ""), "UPDATE": ("update_preimage", "update_postimage")}
        for row, word in zip((one.before, one.after), words[one.operation], strict=True):
            told = {"_change_type": word, "_commit_version": one.transaction, "_commit_timestamp": one.at}
            rows += [] if row is None else [flat(row) | told]
    Random(1).shuffle(rows)  # noqa: S311 - no secret
    frame = pl.DataFrame(rows, infer_schema_length=None).sort("_commit_version", maintain_order=True)
    return al.from_arrow(
        frame,
        columns={
            "id": None, "operation": "_change_type", "changed_at": "_commit_timestamp", "changed_by": None,
            "transaction_id": "_commit_version",
        },
        operations={"update_preimage": "BEFORE", "update_postimage": "UPDATE"},
        fields="rest", entity_type=f"shop.{done[0].table}", key=KEYS[done[0].table],
    )  # fmt: skip


def cdc(done: Sequence[Done], folder: Path) -> Log:
    """As SQL Server's CDC."""
    rows = []
    for one in done:
        codes = {"INSERT": (0, 2), "DELETE": (1, 0), "UPDATE": (3, 4)}[one.operation]
        for row, code in zip((one.before, one.after), codes, strict=True):
            told = {"__$start_lsn": f"0x{one.transaction:020X}", "__$operation": code, "at": one.at}
            rows += [] if row is None else [told | flat(row)]
    return al.read_csv(
        written(folder / "cdc.csv", rows),
        columns={
            "id": None, "operation": "__$operation", "changed_at": "at", "changed_by": None, "transaction_id": None,
            "correlation_id": "__$start_lsn",
        },
        operations={"1": "DELETE", "2": "INSERT", "3": "BEFORE", "4": "UPDATE"},
        fields=dict.fromkeys(KEYS[done[0].table], "number") | KINDS,
        entity_type=f"shop.{done[0].table}", key=KEYS[done[0].table],
    )  # fmt: skip


def upserts(done: Sequence[Done], folder: Path) -> Log:
    """As a topic that says of a row what it is, or that it is gone."""
    rows = [
        flat(one.after or one.before) | {"deleted": one.after is None, "at": int(one.at.timestamp() * 1000)}
        for one in done
    ]
    return al.read_csv(
        written(folder / "upserts.csv", rows),
        columns={"id": None, "operation": "deleted", "changed_at": "at", "changed_by": None, "transaction_id": None},
        operations={"true": "DELETE", "false": "UPSERT"},
        fields=dict.fromkeys(KEYS[done[0].table], "number") | KINDS,
        entity_type=f"shop.{done[0].table}", key=KEYS[done[0].table], unit="ms",
    )  # fmt: skip


def versions(done: Sequence[Done]) -> list[dict[str, Any]]:
    """Each row with when it was true, in no order, as temporal tables and SCD2 have it."""
    rows: list[dict[str, Any]] = []
    live: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in done:
        if one.before is not None:
            live.pop(tuple(one.before[name] for name in KEYS[one.table]))["valid_to"] = one.at
        if one.after is not None:
            rows.append(flat(one.after) | {"valid_from": one.at, "valid_to": None})
            live[tuple(one.key.values())] = rows[-1]
    Random(1).shuffle(rows)  # noqa: S311 - no secret
    return rows


def temporal(done: Sequence[Done], folder: Path) -> Log:
    del folder
    return al.from_arrow(
        pl.DataFrame(versions(done), infer_schema_length=None),
        columns={"valid_from": "valid_from", "valid_to": "valid_to", "changed_by": None, "transaction_id": None},
        fields="rest", entity_type=f"shop.{done[0].table}", key=KEYS[done[0].table],
    )  # fmt: skip


def ranges(done: Sequence[Done], folder: Path) -> Log:
    """As temporal_tables of PostgreSQL has it."""
    rows = versions(done)
    for row in rows:
        start, end = row.pop("valid_from"), row.pop("valid_to")
        row["sys_period"] = f'["{start}",{(end and chr(34) + str(end) + chr(34)) or ""})'
    return al.read_csv(
        written(folder / "history.csv", rows),
        columns={"valid_from": "sys_period", "changed_by": None, "transaction_id": None},
        fields=dict.fromkeys(KEYS[done[0].table], "number") | KINDS,
        entity_type=f"shop.{done[0].table}", key=KEYS[done[0].table],
    )  # fmt: skip


def wal2json(done: Sequence[Done], folder: Path, *, full: bool = False) -> Log:
    """As format-version 2; without REPLICA IDENTITY FULL only the key is told of the row before."""
    rows: list[dict[str, Any]] = []
    for one in done:
        told = {"action": one.operation[0], "xid": one.transaction, "timestamp": str(one.at)}
        if not rows or rows[-1]["xid"] != one.transaction:
            rows.append(told | {"action": "B"})
        told |= {"schema": "shop", "table": one.table}
        names = one.before if full else KEYS[one.table]
        identity = None if one.before is None else {name: one.before[name] for name in names or ()}
        for side, row in (("columns", one.after), ("identity", identity)):
            if row is not None:
                told[side] = [{"name": name, "type": "?", "value": value} for name, value in row.items()]
        rows.append(told)
    return al.read_jsonl(
        written(folder / "wal.jsonl", rows),
        columns={
            "id": None, "entity_type": ["schema", "table"], "operation": "action", "changed_by": None,
            "changed_at": "timestamp", "old": "identity", "new": "columns", "transaction_id": "xid",
        },
        operations={"B": None, "C": None}, key=KEY,
    )  # fmt: skip


def goldengate(done: Sequence[Done], folder: Path) -> Log:
    """As Oracle GoldenGate, where updates have the key and what changed alone."""
    rows = []
    for one in done:
        sides = {"before": one.before, "after": one.after}
        if one.operation == "UPDATE":
            names = [name for name in one.after if name in KEYS[one.table] or one.before[name] != one.after[name]]
            sides = {side: {name: row[name] for name in names} for side, row in sides.items()}
        told = {"table": f"shop.{one.table}", "op_type": one.operation[0], "op_ts": str(one.at), "pos": f"{one.id:020}"}
        rows.append(told | {side: row for side, row in sides.items() if row is not None})
    return al.read_jsonl(
        written(folder / "trail.jsonl", rows),
        columns={
            "id": "pos", "entity_type": "table", "operation": "op_type", "changed_by": None, "changed_at": "op_ts",
            "old": "before", "new": "after", "transaction_id": None,
        },
        key=KEY,
    )  # fmt: skip


def enveloped(done: Sequence[Done], folder: Path) -> Log:
    """As consumers of PostgreSQL's log hand it on: a batch a line, what is of the change beside the row."""
    batches: dict[int, list[dict[str, Any]]] = {}
    for one in done:
        meta = {"schema": "shop", "table": one.table, "lsn": one.id}
        row = {"is": one.operation, "row": {"was": one.before, "became": one.after}, "meta": meta}
        batches.setdefault(one.transaction, []).append(row)
    times = {one.transaction: (one.user, str(one.at)) for one in done}
    rows = [
        {"tx": {"id": number, "by": times[number][0]}, "at": times[number][1], "changes": changes}
        for number, changes in batches.items()
    ]
    return al.read_jsonl(
        written(folder / "batches.jsonl", rows),
        columns={
            "id": "changes[].meta.lsn", "entity_type": ["changes[].meta.schema", "changes[].meta.table"],
            "operation": "changes[].is", "changed_by": "tx.by", "changed_at": "at", "transaction_id": "tx.id",
            "before_snapshot": "changes[].row.was", "after_snapshot": "changes[].row.became",
        },
        key=KEY,
    )  # fmt: skip


def taken_and_put(done: Sequence[Done], folder: Path) -> Log:
    """As Snowflake's streams and Iceberg's changelogs: of an update the row that went and the one that came."""
    del folder
    rows = [
        flat(row) | {"action": word, "tx": one.transaction, "at": one.at}
        for one in done
        for row, word in ((one.before, "DELETE"), (one.after, "INSERT"))
        if row is not None
    ]
    return al.from_arrow(
        pl.DataFrame(rows, infer_schema_length=None).sort("tx", "action", maintain_order=True),
        columns={"id": None, "operation": "action", "changed_by": None, "changed_at": "at", "transaction_id": "tx"},
        operations={"DELETE": "BEFORE", "INSERT": "UPSERT"},
        fields="rest", entity_type=f"shop.{done[0].table}", key=KEYS[done[0].table],
    )  # fmt: skip


class Layout(NamedTuple):
    """How a tool writes, which tables, and what it does not tell."""

    write: Written
    tables: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    rekey: float = 0.0
    truncate: float = 0.0
    idle: bool = True
    flattened: bool = False


ALL, SIMPLE = tuple(KEYS), ("orders", "people")
LAYOUTS = {
    "supa_audit": Layout(supa_audit, ALL, ("changed_by", "transaction_id"), rekey=0.2, truncate=0.01),
    "maxwell": Layout(maxwell, ALL, ("changed_by",), idle=False),
    "wal2json": Layout(wal2json, ALL, ("changed_by",), rekey=0.2),
    "wal2json in full": Layout(partial(wal2json, full=True), ALL, ("changed_by",), rekey=0.2),
    "goldengate": Layout(goldengate, ALL, ("changed_by", "transaction_id"), rekey=0.2),
    "enveloped": Layout(enveloped, ALL, rekey=0.2, truncate=0.01),
    "taken and put": Layout(taken_and_put, ("items",), ("changed_by",), flattened=True),
    "pairs": Layout(pairs, SIMPLE),
    "audited": Layout(audited, SIMPLE),
    "two columns": Layout(two_columns, SIMPLE),
    "feed": Layout(feed, ("items",), ("changed_by",), flattened=True),
    "cdc": Layout(cdc, ("items",), ("changed_by", "transaction_id")),
    "upserts": Layout(upserts, ("items",), ("changed_by", "transaction_id")),
    "temporal": Layout(temporal, ("items",), ("changed_by", "transaction_id"), flattened=True),
    "ranges": Layout(ranges, ("orders",), ("changed_by", "transaction_id")),
}


def shown(row: dict[str, Any], names: Sequence[str]) -> dict[str, object]:
    """A row's cells as the values that they stand for: what is nested is JSON, a date with it or without."""
    cells = {name: row[name] for name in names}
    return {name: json.loads(cell) if str(cell)[:1] in "[{" and cell else cell for name, cell in cells.items()}


def assert_true(log: Log, done: Sequence[Done], table: str) -> None:
    """At the times of changes, and right after, a table is as it was, and nothing is in doubt."""
    names = (*KEYS[table], *FIELDS)
    times = sorted({one.at for one in done if one.table == table})
    for at in [*times[:: len(times) // 12], times[-1]]:
        for moment in (at, min(times[-1], at + timedelta(microseconds=1))):
            found = log.of(f"shop.{table}").as_of(moment)
            assert found["certain"].all()
            rows = [shown(row, names) for row in found.sort(KEYS[table]).iter_rows(named=True)]
            true = [{name: text(told) if isinstance(told, (list, dict)) else told for name, told in row.items()}
                    for row in state(done, table, moment)]  # fmt: skip
            assert rows == [shown(row, names) for row in true]


def answers(log: Log, table: str, lacks: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What a log says of a table, but for the ids of changes and for what it does not tell."""
    own = log.of(f"shop.{table}")
    hidden = {"id", "ended_by", "origin", "version_id", "seen_in", *lacks} | ({"set_by"} if lacks else set())
    spine = own.diffs().select("entity_id", at="changed_at").unique().sort("entity_id", "at")
    told = {
        "history": own.history().sort("entity_id", "version"),
        "diffs": own.diffs().sort("changed_at", "entity_id", "version", "field"),
        "blame": own.blame().sort("entity_id", "field"),
        "pit_join": own.pit_join(spine).sort("entity_id", "at"),
        "key_changes": own.key_changes().sort("changed_at", "old_entity_id"),
    }
    return {
        verb: [{name: cell for name, cell in row.items() if name not in hidden} for row in frame.iter_rows(named=True)]
        for verb, frame in told.items()
    }


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("seed", range(5 if SOAK else 1))
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_log_in_the_layout_of_another_tool_answers_as_the_shop_was(name: str, seed: int, engine: str, tmp_path: Path):
    layout = LAYOUTS[name]
    rng = Random(f"{name} {seed}")  # noqa: S311 - no secret
    done = simulate(rng, COUNT, tables=layout.tables, rekey=layout.rekey, truncate=layout.truncate)
    done = [one for one in done if layout.idle or one.before != one.after]
    log, same = layout.write(done, tmp_path).on(engine), ours(done, tmp_path, flattened=layout.flattened).on(engine)
    assert log.evidence().worst in ("hint", None)
    for table in layout.tables:
        assert_true(log, done, table)
        assert answers(log, table, layout.lacks) == answers(same, table, layout.lacks)
