"""One step of an upcast: documents of one version made into those of the next; by a function, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from auditlab.assembled import assembled
from auditlab.documents import encodable
from auditlab.encoding import decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Document", "Fields", "FunctionStep", "Step", "StepFault", "Told"]

Document = dict[str, Any]
"""A document as a function sees it."""

Fields = dict[str, pl.Series]
"""field -> String, its raw JSON text by document, null where it is missing."""

_CONTAINERS = (dict, list)


class StepFault(Exception):
    """A step that cannot take documents; the text ends the sentence "the step of ... ".

    Args:
        words: What happened.
        places: The documents that it happened to; None for all.
        cause: The exception behind it.
    """

    def __init__(self, words: str, places: list[int] | None = None, cause: BaseException | None = None) -> None:
        super().__init__(words)
        self.places = places
        self.cause = cause


class Told(Protocol):
    """What all documents of a version tell a step that takes them part by part."""

    def learn(self, fields: Fields) -> None:
        """Take in a part."""


class Step(Protocol):
    """A step to the version ``to``."""

    @property
    def to(self) -> str:
        """The version that it makes."""

    def told(self) -> Told | None:
        """What is to take in all documents before any part of them is taken; None where each is taken by itself."""

    def take(self, fields: Fields, absent: Fields, height: int, told: Told | None = None) -> Fields:
        """The fields of the next version.

        Args:
            fields: The documents' fields.
            absent: Fields that the entity type has, but none of these documents.
            height: How many documents there are.
            told: Of a part of the documents: what all of them told.

        Raises:
            StepFault: it cannot take them.
        """


@dataclass(frozen=True, slots=True)
class FunctionStep:
    """A step by a function of one document."""

    to: str
    function: Callable[[Document], Document]

    def told(self) -> None:
        """Nothing: each document is taken by itself."""

    def take(
        self,
        fields: Fields,
        absent: Fields,  # noqa: ARG002 - a missing field is missing
        height: int,
        told: Told | None = None,  # noqa: ARG002 - nothing
    ) -> Fields:
        """The fields that the function makes."""
        raws = {name: raw.to_list() for name, raw in fields.items()}
        made: dict[str, list[str | None]] = {}
        faults: list[tuple[int, str, BaseException | None]] = []
        for place, text in enumerate(assembled(fields, height)):
            try:
                document = self._taken(text, {name: raw[place] for name, raw in raws.items()})
            except Exception as exc:  # noqa: BLE001 - whatever a user's function raises
                faults.append((place, f"raised {exc!r:.200}", exc))
                continue
            if isinstance(document, str):
                faults.append((place, document, None))
                continue
            for name, raw in document.items():
                if name not in made:
                    made[name] = [None] * height
                made[name][place] = raw
        if faults:
            _, words, cause = faults[0]
            raise StepFault(f"{words}.", [place for place, _, _ in faults], cause)
        return {name: pl.Series(name, cells, dtype=pl.String) for name, cells in made.items()}

    def _taken(self, text: str, raws: Mapping[str, str | None]) -> dict[str, str] | str:
        """One document's new fields; in words, what is wrong with them. Exceptions are the function's."""
        document = decoded(text)
        given = dict(document)
        nested = {name: encoded(value) for name, value in given.items() if isinstance(value, _CONTAINERS)}
        made = self.function(document)
        if not isinstance(made, dict):
            return f"returned {type(made).__name__}, not a dict"
        found: dict[str, str] = {}
        for name, value in made.items():
            raw = raws.get(name) if isinstance(name, str) else None
            if raw is not None and value is given[name] and name not in nested:
                found[name] = raw
                continue
            if not isinstance(name, str):
                return f"returned the key {name!r:.60}, which is no text"
            try:
                new = encoded(value)
            except (TypeError, ValueError) as exc:
                return f"returned for {name!r} what is no JSON: {exc}"
            found[encodable(name)] = raw if raw is not None and new == nested.get(name) else new
        return found
