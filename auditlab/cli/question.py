"""A question on the command line: the log that it is about, and where its answer goes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, overload

import polars as pl

import auditlab as al
from auditlab.cli import options as opt
from auditlab.cli.layout import EntityType, FieldColumns, KeyFields, Operations, Query, Unit, layout, name_pairs
from auditlab.cli.output import Output, chosen, say, warn
from auditlab.cli.source import entity_key, open_log
from auditlab.clock import instant
from auditlab.errors import BadOption
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Question", "asks", "asks_as_recorded", "asks_without"]

P = ParamSpec("P")
UTC = "UTC"
STATES = ("as_of", "blame")
"""Verbs whose answer about one entity is empty where that was not there."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the shared options of a command say.

    Args:
        source: A DSN, a Parquet file or an archive folder.
        types: The entity types that the question is about; none is all.
        entity: The id or key of the one entity that it is about.
        zone: The time zone of times without an offset; None is the log's.
        engine: What computes the answer.
        memory: How much memory a question of an archive may take.
        table: The log's table in a database.
        coverage: From when to when a file is known to be complete.
        columns: ``ours=theirs`` for a log with other column names.
        layout: What else is said of how the rows of a file or a query are to be read, as a loader's options.
        renames: ``old=new`` for fields that were renamed.
        clock: Which times date a database's log.
        archive: The folder that has the older part of a database's log.
        since: Of a database's log, the time from which on it is asked for; a snapshot of its entities stands for the
            rest.
        set_aside: Whether rows that are no changes are set aside, where they are an error else.
        output: Where the answer goes, and how.
        sql: Show the query instead of the answer.
    """

    source: str
    types: tuple[str, ...]
    entity: str | None
    zone: str | None
    engine: str
    memory: str | None
    table: str
    coverage: tuple[str, str] | None
    columns: tuple[str, ...]
    layout: dict[str, Any]
    renames: tuple[str, ...]
    clock: str | None
    archive: str | None
    since: str | None
    set_aside: bool
    output: Output
    sql: bool

    def log(self, *, strict: bool = True, whole: bool = False) -> al.ChangeLog[Any]:
        """The log, narrowed to the entity types and the entity.

        Args:
            strict: Whether rows that are no changes are an error, unless --set-aside sets them apart.
            whole: Whether the other types' changes are read, too, as where they tell of the moment that is asked for.
        """
        log = open_log(
            self.source,
            types=None if whole else self.types,
            zone=self.zone or UTC,
            engine=self.engine,
            memory=self.memory,
            table=self.table,
            columns=self.columns,
            layout=self.layout,
            coverage=self.coverage,
            strict=strict and not self.set_aside,
            clock=self.clock,
            archive=self.archive,
            since=self.since,
        )
        if self.set_aside and len(log.malformed):
            kinds = ", ".join(
                f"{kind} ({count:,})" for kind, count in log.malformed["kind"].value_counts(sort=True).rows()
            )
            warn(f"auditlab: set aside, and not answered from: {kinds}. auditlab evidence lists them.")
        if whole and self.types:
            log = log.of(*self.types)
        if names := name_pairs("--rename", self.renames, "OLD=NEW, e.g. --rename name=title"):
            if len(log.entity_types) != 1:
                raise BadOption(f"--rename needs one --type. The log has {', '.join(map(repr, log.entity_types))}.")
            log = log.renamed(names)
        if self.entity is None:
            return log
        if len(log.entity_types) != 1:
            raise BadOption(f"--entity needs one --type. The log has {', '.join(map(repr, log.entity_types))}.")
        return log.entity(entity_key(self.entity, log))

    @overload
    def moment(self, log: al.ChangeLog[Any], text: str, *, bound: bool = False) -> datetime: ...
    @overload
    def moment(self, log: al.ChangeLog[Any], text: None, *, bound: bool = False) -> None: ...
    def moment(self, log: al.ChangeLog[Any], text: str | None, *, bound: bool = False) -> datetime | None:
        """The instant that an option names, be it the bound of a span (:func:`auditlab.clock.instant`)."""
        return None if text is None else instant(text, self.zone or log.facts.zone, bound=bound)

    def show_sql(self, verb: str) -> None:
        """Print the query of a verb; it is the same for every log, so none is read."""
        say(al.from_arrow(pl.DataFrame(schema=CHANGES)).sql(verb).rstrip())

    def answer(
        self,
        verb: str,
        ask: Callable[[al.ChangeLog[Any]], pl.DataFrame | pl.LazyFrame],
        *,
        title: str = "",
        whole: bool = False,
    ) -> None:
        """Write what ``ask`` finds in the log, or show the query of ``verb`` where that was asked for."""
        if self.sql:
            self.show_sql(verb)
        else:
            found = ask(self.log(whole=whole)).lazy().collect()
            self.output.write(found, title=title)
            if found.is_empty() and self.entity is not None and verb in STATES:
                warn("auditlab: no row of this entity. auditlab why-not, with its --type and --entity, says why.")


def _shared(
    *,
    source: opt.Source,
    types: opt.Types = None,
    entity: opt.Entity = None,
    zone: opt.Zone = None,
    engine: opt.EngineOption = opt.Engine.POLARS,
    memory: opt.Memory = None,
    table: opt.LogTable = "audit.entity_change_log",
    query: Query = None,
    coverage: opt.Coverage = None,
    columns: opt.Columns = None,
    operations: Operations = None,
    field_columns: FieldColumns = None,
    entity_type: EntityType = None,
    key_fields: KeyFields = None,
    unit: Unit = None,
    renames: opt.Renames = None,
    clock: opt.ByClock = None,
    archive: opt.KeptIn = None,
    since: opt.Since = None,
    set_aside: opt.SetAside = False,
    form: opt.Form = None,
    file: opt.File = None,
    raw: opt.Raw = False,
    wide: opt.Wide = False,
    limit: opt.Limit = 50,
    sql: opt.Sql = False,
) -> Question:
    output = Output(chosen(form, file), file, raw=raw, wide=wide, limit=limit)
    if file is not None and file.exists() and Path(source).exists() and file.samefile(source):
        raise BadOption(f"{file} is the source itself; an answer does not overwrite it. Name another file: -o FILE.")
    told = layout(operations, field_columns, entity_type, query, key_fields, unit)
    read = (table, coverage, tuple(columns or ()), told, tuple(renames or ()), clock, archive, since, set_aside)
    return Question(source, tuple(types or ()), entity, zone, engine, memory, *read, output, sql)


def asks_without(*left_out: str) -> Callable[[Callable[Concatenate[Question, P], None]], Callable[..., None]]:
    """Give a command SOURCE and the shared options but some: it takes a ``Question`` in their place."""
    shared = {
        name: parameter
        for name, parameter in inspect.signature(_shared, eval_str=True).parameters.items()
        if name not in left_out
    }

    def decorate(command: Callable[Concatenate[Question, P], None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @wraps(command)
        def run(**given: Any) -> None:  # noqa: ANN401 - the parser's own values
            question = _shared(**{name: given.pop(name) for name in shared})
            command(question, **given)  # type: ignore[call-arg]

        parameters = [*shared.values(), *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def asks(command: Callable[Concatenate[Question, P], None]) -> Callable[..., None]:
    """Give a command SOURCE and the shared options: it takes a ``Question`` in their place."""
    return asks_without()(command)


def asks_as_recorded(command: Callable[Concatenate[Question, P], None]) -> Callable[..., None]:
    """The same for a command about the log as it was recorded: without what reads its documents otherwise."""
    return asks_without("renames")(command)
