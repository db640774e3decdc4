"""Which fields, and which parts of nested ones, an option is about: ``total``, ``payload/meta/*/at``, ``*/note``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlab.errors import BadOption, UnknownEntityType, UnknownField
from auditlab.temporal.nested import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Pattern", "Patterns", "by_type", "patterns"]

ANY = "*"

Patterns = str | Iterable[str] | Mapping[str, str | Iterable[str]]
"""What ``ignore=`` takes: a pattern, several, or several for each entity type."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A field, and where in it.

    Args:
        field: The field's name; None is any.
        tokens: The steps of a JSON Pointer below the field, escaped; None is any key and any place in a list.
    """

    field: str | None
    tokens: tuple[str | None, ...] = ()

    def names(self, field: str) -> bool:
        """Whether it is about that field, or a part of it."""
        return self.field is None or self.field == field

    def holds(self, field: str, path: str) -> bool:
        """Whether the part at that path is meant, or lies in what is meant."""
        steps = path.split("/")[1 : len(self.tokens) + 1]
        return self.names(field) and self._fits(steps)

    def is_at(self, field: str, path: str) -> bool:
        """Whether exactly that part is meant."""
        steps = path.split("/")[1:]
        return self.names(field) and len(steps) == len(self.tokens) and self._fits(steps)

    def _fits(self, steps: Sequence[str]) -> bool:
        return len(steps) == len(self.tokens) and all(
            token in (None, step) for token, step in zip(self.tokens, steps, strict=True)
        )


def patterns(texts: Iterable[str], fields: Mapping[str, Sequence[str]], option: str) -> tuple[Pattern, ...]:
    """The patterns that the texts say.

    A text that is the name of a field means that field. Else it is a field and a JSON Pointer (RFC 6901) into it, with
    ``*`` for any field, any key and any place in a list; ``~1`` stands for a slash in a name, ``~0`` for a tilde.

    Args:
        texts: What was given.
        fields: The names of the fields that there are, by entity type.
        option: Its name, for messages.

    Raises:
        UnknownField: no type has such a field; the message names those that there are.
        BadOption: what is no text.
    """
    known = {name for names in fields.values() for name in names}
    found = []
    for text in texts:
        if not isinstance(text, str):
            raise BadOption(f"{option}= takes names of fields, or paths such as 'payload/meta/at', got {text!r}.")
        if text in known:
            found.append(Pattern(text))
            continue
        first, *rest = text.split("/")
        name = first.replace("~1", "/").replace("~0", "~")
        if first != ANY and name not in known:
            there = "; ".join(f"{each} has {', '.join(sorted(names)) or 'none'}" for each, names in fields.items())
            raise UnknownField(f"no field {name!r}, which {option}= names. {there}.")
        tokens = (None if token == ANY else _normal(token) for token in rest)
        found.append(Pattern(None if first == ANY else name, tuple(tokens)))
    return tuple(found)


def by_type(given: Patterns, fields: Mapping[str, Sequence[str]], option: str) -> dict[str, tuple[Pattern, ...]]:
    """The patterns for each entity type, from what was given for all of them or for each.

    Raises:
        UnknownField: as :func:`patterns`.
        UnknownEntityType: a type that is not among those selected; the message names these.
        BadOption: what is neither texts nor a mapping.
    """
    if not isinstance(given, Iterable):
        raise BadOption(f"{option}= takes names of fields, or a mapping of entity types to these, got {given!r}.")
    if not isinstance(given, Mapping):
        return dict.fromkeys(fields, patterns([given] if isinstance(given, str) else given, fields, option))
    unknown = [name for name in given if name not in fields]
    if unknown:
        names = ", ".join(map(repr, fields)) or "none"
        raise UnknownEntityType(f"no entity type {unknown[0]!r}, which {option}= names. There is {names}.")
    found: dict[str, tuple[Pattern, ...]] = dict.fromkeys(fields, ())
    for name, texts in given.items():
        found[name] = patterns([texts] if isinstance(texts, str) else texts, {name: fields[name]}, option)
    return found


def _normal(token: str) -> str:
    return escaped(token.replace("~1", "/").replace("~0", "~"))
