"""SOURCE on the command line: a database, a file or an archive folder, opened as a ``ChangeLog``."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import auditlab as al
from auditlab import selectors
from auditlab.archive.files import is_url
from auditlab.cli.layout import mapping, option
from auditlab.clock import zone as named_zone
from auditlab.connection import redact
from auditlab.errors import BadOption
from auditlab.load.debezium import is_debezium

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["entity_key", "is_dsn", "open_log"]

_URL = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_READERS = {
    (".csv", ".csv.gz", ".csv.zst"): al.read_csv,
    (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst"): al.read_jsonl,
}
"""What reads a file of these endings; all others are Parquet."""

_PARQUET = (".parquet", ".pq")
_PAIRS = re.compile(r"\s*\w+\s*=")


def is_dsn(source: str) -> bool:
    """Whether the text names a database; a path that exists is a path."""
    return bool(_URL.match(source)) or (bool(_PAIRS.match(source)) and not Path(source).exists())


def open_log(
    source: str,
    *,
    types: Sequence[str] | None = None,
    zone: str = "UTC",
    engine: str = "polars",
    table: str = "audit.entity_change_log",
    columns: Sequence[str] | None = None,
    layout: Mapping[str, Any] | None = None,
    coverage: tuple[str, str] | None = None,
    strict: bool = True,
    memory: str | None = None,
    clock: str | None = None,
    archive: str | None = None,
    since: str | None = None,
) -> al.ChangeLog[Any]:
    """The log behind SOURCE, narrowed to entity types; with ``archive``, together with what that has of it.

    ``layout`` is what :func:`layout` makes of the options that say how the rows of a file or a query are to be read.
    A database sends only those types, and with ``since`` only what a snapshot of its entities does not stand for.

    Raises:
        BadOption: SOURCE is none of the three, or does not exist.
        BadTime: there is no such zone.
    """
    named_zone(zone)
    names = mapping(columns)
    path = Path(source)
    _check(source, layout=layout, coverage=coverage, memory=memory, clock=clock, archive=archive, since=since)
    if is_dsn(source) and archive is not None:
        wanted = list(types) if types else None
        options = {"table": table, "columns": names, "strict": strict, "memory": memory, "clock": clock}
        return al.scan(source, archive, entity_types=wanted, **options).on(engine)  # type: ignore[arg-type]
    if archive is not None:
        raise BadOption("--archive is for a SOURCE that is a DSN: the archive of that database's log.")
    if is_dsn(source) and layout:
        log = al.read_query(source, **layout, columns=names, zone=zone, coverage=coverage, strict=strict).on(engine)
        return log.of(*types) if types else log
    if is_dsn(source):
        wanted = list(types) if types else None
        return al.read_postgres(
            source, table=table, entity_types=wanted, columns=names, zone=zone, clock=clock, strict=strict, since=since
        ).on(engine)
    if is_url(source) or path.is_dir():
        if names:
            raise BadOption("--column is for databases and files; an archive has our column names already.")
        wanted = list(types) if types else None
        return al.scan_archive(source, entity_types=wanted, strict=strict, memory=memory).on(engine)
    if path.is_file():
        log = _of_file(path, names, layout or {}, zone=zone, coverage=coverage, strict=strict).on(engine)
        return log.of(*types) if types else log
    raise BadOption(
        f"no source {redact(source)!r}. Give a DSN (postgresql://...), a file (Parquet, .csv, .jsonl), or an "
        "archive folder."
    )


def _check(
    source: str,
    *,
    layout: Mapping[str, Any] | None,
    coverage: tuple[str, str] | None,
    memory: str | None,
    clock: str | None,
    archive: str | None,
    since: str | None,
) -> None:
    """Refuse an option that says nothing of such a SOURCE."""
    path = Path(source)
    file = not (is_dsn(source) or is_url(source) or path.is_dir())
    asked = "query" in (layout or {})
    if asked and (not is_dsn(source) or archive is not None):
        raise BadOption("--query is for a SOURCE that is a DSN, without --archive.")
    if layout and not (file or asked):
        raise BadOption(f"{option(layout)} is for files, and for a database with --query.")
    if coverage is not None and not (file or asked):
        raise BadOption("--coverage is for files and --query; a database and an archive say what they cover.")
    if clock is not None and (asked or not is_dsn(source)):
        raise BadOption("--clock is for a database's own log; a file and an archive have the clock that they have.")
    if since is not None and (asked or archive is not None or not is_dsn(source)):
        raise BadOption("--since is for a database's own log, without --archive: a snapshot of its entities.")
    if memory is not None and archive is None and (is_dsn(source) or path.is_file()):
        raise BadOption(
            "--memory is for an archive, or for a DSN with --archive: a file, and a database alone, are read whole."
        )


def _of_file(
    path: Path,
    names: dict[str, Any] | None,
    layout: Mapping[str, Any],
    *,
    zone: str,
    coverage: tuple[str, str] | None,
    strict: bool,
) -> al.ChangeLog[Any]:
    """The log that a file holds: what reads it is told by the ending of its name, or by how it begins."""
    read = next((reader for endings, reader in _READERS.items() if path.name.lower().endswith(endings)), None)
    if read is al.read_jsonl and is_debezium(path):
        if layout:
            raise BadOption(f"{option(layout)} is for rows of other logs; Debezium's events tell that.")
        return al.read_debezium(path, key=_key(names), coverage=coverage, strict=strict)
    if read is None and path.suffix.lower() not in _PARQUET and not _begins_as_parquet(path):
        raise BadOption(
            f"{path} is no Parquet file, and its name does not say what else it is. Rename it so that it ends in .csv "
            "or .jsonl, or in these with .gz or .zst behind."
        )
    return (read or al.read_parquet)(path, columns=names, **layout, zone=zone, coverage=coverage, strict=strict)


def _begins_as_parquet(path: Path) -> bool:
    with path.open("rb") as opened:
        return opened.read(4) == b"PAR1"


def _key(names: dict[str, Any] | None) -> list[str] | None:
    """The columns of the key of Debezium's events, where ``--column entity_id=a,b`` names them.

    Raises:
        BadOption: another column is named.
    """
    others = [name for name in names or () if name != "entity_id"]
    if others:
        raise BadOption(
            f"--column names {', '.join(map(repr, others))}; of Debezium's events it takes the key alone, if the "
            "messages do not have it: --column entity_id=id, or entity_id=a,b."
        )
    columns = (names or {}).get("entity_id")
    return columns.split(",") if columns else None


def entity_key(text: str, log: al.ChangeLog[Any] | None = None) -> Any:  # noqa: ANN401 - a key is a text or a mapping
    """The entity that ``--entity`` names: a JSON object is a key of several columns, else the text itself.

    So it is where the log has an entity with that very text as its id.
    """
    if not text.lstrip().startswith("{") or (log is not None and selectors.known(log.selected, log.entity_types, text)):
        return text
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as exc:
        raise BadOption(f'cannot read the key {text!r}: {exc}. Write e.g. --entity \'{{"a": 1, "b": 2}}\'.') from exc
