"""Upcasters: what brings documents of old versions of an entity type to the current one, version by version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

import polars as pl

from auditlab.errors import BadOption, UnknownEntityType
from auditlab.reading.expressions import Expressions, expression_step
from auditlab.reading.in_buckets import read
from auditlab.reading.steps import Document, FunctionStep, Step
from auditlab.reading.upcast import Chain, Upcast
from auditlab.reading.versions import checked_source, source_words, version_text

if TYPE_CHECKING:
    from auditlab.reading.versions import Source, Version
    from auditlab.selection import Selected

__all__ = ["Upcasters", "upcast"]

F = TypeVar("F", bound=Callable[[Document], Document])


class Upcasters:
    """Steps that bring documents of old versions to the current one, by entity type.

    A step leads from one version to the next; steps are chained until the current version. It is a plain function, or
    Polars expressions:

    - A **function** takes a document as a dict and returns the new one. Numbers with a fraction are ``Decimal``, whole
      ones ``int``, JSON null is None, and a missing field is missing. It runs once a distinct document, and must give
      the same for the same. Values that it leaves alone keep their recorded text.
    - **Expressions** run over all documents of a version at once: a list of them, each named after the field that it
      sets, or a mapping of fields to expressions, where None removes the field. All see the document as it was before
      the step. Numbers are Int64, or Decimal of a scale that holds all of them, or text where none does; strings are
      String; nested values are their JSON text. A field alone (``pl.col("a").alias("b")``) is copied to the very
      text. A null is JSON null, and a missing field where all the fields that it was made from are missing.
      Expressions look at one document at a time; floats, and arithmetic that Polars would round, are refused.

    Fields come in the order in which the first documents have them: those of a version behind those that were brought
    to it, from several versions as those were registered. A log that is larger than memory is read once more for each
    step that follows on another.

    Args:
        version: Where a document's version stands: ``metadata.<key>`` of the change, ``field.<name>`` of the document,
            or a Polars expression over the canonical columns.
        default: The version of documents that say none; or one for each entity type.
        current: The version to bring documents to; or one for each entity type. Without it: where the steps end.

    >>> upcasters = Upcasters(default=1)
    >>> @upcasters.register("shop.orders", 1)
    ... def split_name(order):
    ...     first, _, last = order.pop("name").partition(" ")
    ...     return order | {"first": first, "last": last}
    >>> upcasters
    Upcasters by metadata.schema_version: shop.orders 1 to 2
    """

    __slots__ = ("_current", "_default", "_source", "_steps")

    def __init__(
        self,
        version: Source = "metadata.schema_version",
        *,
        default: Version | Mapping[str, Version] | None = None,
        current: Version | Mapping[str, Version] | None = None,
    ) -> None:
        self._source = checked_source(version)
        self._default = _by_type(default)
        self._current = _by_type(current)
        self._steps: dict[str, dict[str, Step]] = {}

    @overload
    def register(
        self, entity_type: str, from_version: Version, step: None = None, *, to: Version | None = None
    ) -> Callable[[F], F]: ...
    @overload
    def register(
        self,
        entity_type: str,
        from_version: Version,
        step: Callable[[Document], Document] | Expressions,
        *,
        to: Version | None = None,
    ) -> None: ...
    def register(
        self, entity_type: str, from_version: Version, step: Any = None, *, to: Version | None = None
    ) -> Callable[[F], F] | None:
        """Add the step from one version of an entity type to another; without ``step``, as a function's decorator.

        Args:
            entity_type: The entity type.
            from_version: The version that the step takes.
            step: A function or expressions.
            to: The version that it makes; without it, the next whole number.

        Raises:
            BadOption: there is a step from that version already, the steps would go in a circle, or ``step`` is none.
        """
        if step is None:

            def decorate(function: F) -> F:
                self._add(entity_type, from_version, function, to)
                return function

            return decorate
        self._add(entity_type, from_version, step, to)
        return None

    def of(self, *entity_types: str) -> Upcasters:
        """The upcasters of these entity types alone: for a log that does not hold the others."""
        part = Upcasters(self._source)
        part._default, part._current = self._default, self._current
        part._steps = {name: dict(steps) for name, steps in self._steps.items() if name in entity_types}
        return part

    def reading(self) -> Upcast:
        """What is registered by now, as the reading of a log.

        Raises:
            BadOption: nothing is registered, or it is not clear which version of a type is the current one.
        """
        if not self._steps:
            raise BadOption('no upcaster is registered: upcasters.register("shop.orders", 1, step).')
        chains = {}
        for entity_type, steps in self._steps.items():
            ends = sorted({step.to for step in steps.values()} - steps.keys())
            current = self._current.get(entity_type, self._current.get(None))
            if current is None and len(ends) > 1:
                raise BadOption(
                    f"the upcasters of {entity_type} end in several versions: {', '.join(ends)}. Say by "
                    "Upcasters(current=...) which is the current one."
                )
            default = self._default.get(entity_type, self._default.get(None))
            chains[entity_type] = Chain(dict(steps), ends[0] if current is None else current, default)
        return Upcast(self._source, chains)

    def __repr__(self) -> str:
        told = ", ".join(
            f"{entity_type} {version} to {step.to}"
            for entity_type, steps in self._steps.items()
            for version, step in steps.items()
        )
        return f"Upcasters by {source_words(self._source)}: {told or 'none'}"

    def _add(self, entity_type: str, from_version: Version, step: object, to: Version | None) -> None:
        if not isinstance(entity_type, str):
            raise BadOption(f"register() takes an entity type's name, got {entity_type!r}.")
        start = version_text(from_version)
        if to is None and not isinstance(from_version, int):
            raise BadOption(f"what comes after version {from_version!r}? Say to=.")
        end = version_text(from_version + 1 if to is None else to)  # type: ignore[operator]  # an int by now
        steps = self._steps.get(entity_type, {})
        if start in steps:
            raise BadOption(f"{entity_type} has a step from version {start} already, to version {steps[start].to}.")
        path = [start, end]
        while path[-1] in steps and path[-1] != start:
            path.append(steps[path[-1]].to)
        if path[-1] == start:
            raise BadOption(f"the steps of {entity_type} would go in a circle: {' to '.join(path)}.")
        self._steps.setdefault(entity_type, {})[start] = _step(step, end, f"{entity_type} from version {start}")


def _step(step: object, to: str, where: str) -> Step:
    """A step of what was registered."""
    if isinstance(step, pl.Expr):
        return expression_step([step], to, where)
    if isinstance(step, Mapping) or (isinstance(step, Sequence) and not isinstance(step, str)):
        return expression_step(step, to, where)
    if callable(step):
        return FunctionStep(to, step)
    raise BadOption(f"the step of {where} is neither a function nor Polars expressions: {step!r:.60}.")


def _by_type(given: Version | Mapping[str, Version] | None) -> dict[str | None, str]:
    """Versions by entity type; that of every type under None."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {entity_type: version_text(version) for entity_type, version in given.items()}
    return {None: version_text(given)}


def upcast(selected: Selected, upcasters: Upcasters) -> Selected:
    """The log with every document brought to the current version of its type: in states, histories, diffs, everywhere.

    What was recorded stays as it is: ``changes()``, the records, ``evidence()``, ``drift()`` and archives do not know
    of it. Typed columns are inferred from the documents as they are read. Types without upcasters are read as recorded.

    Args:
        selected: The log.
        upcasters: The steps; what is registered later does not count.

    Raises:
        UnknownEntityType: upcasters are registered for a type that the log does not have.
        BadOption: nothing is registered, or it is not clear which version is the current one.
        LogTooLarge: the log is asked bucket by bucket, and the expression for the version may look at several changes.

    The first question about a type raises ``UpcastError`` where documents have no version, one from which no steps lead
    to the current one, or where a step fails; the message counts and names the changes.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> upcasters = Upcasters(default=1)
    >>> upcasters.register("t", 1, lambda document: {"title": document["name"]})
    >>> log = from_arrow(make_log([("INSERT", "a", {"name": "x"})])).upcast(upcasters)
    >>> log.as_of().row(0)
    ('a', True, 'x')
    """
    if not isinstance(upcasters, Upcasters):
        raise BadOption(f"upcast() takes Upcasters, got {upcasters!r:.60}.")
    reading = upcasters.reading()
    unknown = [name for name in reading.entity_types if name not in selected.entity_types]
    if unknown:
        have = ", ".join(map(repr, selected.entity_types)) or "none"
        raise UnknownEntityType(
            f"upcasters are registered for {', '.join(map(repr, unknown))}, which is not in this log. It has {have}. "
            "upcasters.of(...) gives those of some types."
        )
    return replace(selected, recorded=read(selected.recorded, reading))
