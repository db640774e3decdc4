"""What other logs call an operation, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import BadOption, MalformedChange
from auditlab.schema import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ALIASES", "BEFORE", "ENDING", "NONE", "UPSERT", "canonical_operations", "declared_operations"]

ALIASES: dict[str, str] = {
    **{name: name for name in OPERATIONS},
    **{name[0]: name for name in ("INSERT", "UPDATE", "DELETE", "TRUNCATE")},
    **dict.fromkeys(("C", "CREATE", "CREATED", "INSERTED", "ADDED", "+"), "INSERT"),
    **dict.fromkeys(("UPDATED", "MODIFY", "MODIFIED", "CHANGED", "REPLACE", "~"), "UPDATE"),
    **dict.fromkeys(("DELETED", "DESTROY", "DESTROYED", "REMOVE", "REMOVED", "-"), "DELETE"),
    "R": "SNAPSHOT",
    "READ": "SNAPSHOT",
}
"""Debezium's ``c u d t r``, the one-letter forms of many trails, and the words of others, such as Rails, Laravel,
DynamoDB and MongoDB (whose ``replace`` puts a whole document in place of one that is there); case does not matter."""

UPSERT = "UPSERT"
"""What ``operations=`` may say of a row that inserts where there is none, and updates where there is."""
BEFORE = "BEFORE"
"""What it may say of a row that shows how the UPDATE of that row in the same transaction found it."""
_TOLD = (*OPERATIONS, UPSERT, BEFORE)
"""What ``operations=`` may say."""
ENDING = ("DELETE", BEFORE)
"""Rows that show what was there."""

_SHOWN = 5


NONE = ""
"""What a word means whose rows are no changes."""


def declared_operations(given: Mapping[str, str | None]) -> dict[str, str]:
    """What ``operations=`` says, by the words as they are looked up: without blanks around them, in capitals.

    Raises:
        BadOption: an operation that there is not, no word, or one word with two meanings.
    """
    if not isinstance(given, Mapping):
        raise BadOption(f"operations={given!r} gives no word a meaning. Give e.g. operations={{'destroy': 'DELETE'}}.")
    unknown = sorted({str(name) for name in given.values() if str(name).upper() not in _TOLD and name is not None})
    if unknown:
        raise BadOption(
            f"operations= says {', '.join(map(repr, unknown))}, which is no operation. "
            f"Each word means one of {', '.join(_TOLD)}, or None where its rows are no changes."
        )
    found: dict[str, str] = {}
    for word, name in given.items():
        known = _known_as(str(word))
        meaning = NONE if name is None else name.upper()
        if not known or found.setdefault(known, meaning) != meaning:
            raise BadOption(
                f"operations= gives the word {word!r} {'two meanings' if known else 'a meaning'}. "
                "Give each word of the log one operation; case, and blanks around it, do not matter."
            )
    return found


def canonical_operations(
    column: pa.Array, ids: pa.Array, declared: Mapping[str, str] | None = None, elsewhere: str = ""
) -> pa.Array:
    """The operations in our five words; nulls stay null (the schema check names them).

    Args:
        column: Texts.
        ids: The rows' ids, for messages.
        declared: What ``declared_operations`` made of the loader's option; None where it has none.
        elsewhere: Which loader has one, where this has none, for messages.

    Raises:
        MalformedChange: an operation that is none of ours and no alias, with the rows' ids.
    """
    meanings = {**ALIASES, **(declared or {})}
    coded = column.dictionary_encode()
    found = coded.dictionary.to_pylist()
    words = [None if word is None else meanings.get(_known_as(word)) for word in found]
    if None in words:
        odd = [word for word, known in zip(found, words, strict=True) if word is not None and known is None]
        if odd:
            raise MalformedChange("; ".join(_unknown(column, ids, odd)) + _said(odd, declared, elsewhere))
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(words, pa.string())).cast(pa.string())


def _known_as(word: str) -> str:
    return word.strip().upper()


def _unknown(column: pa.Array, ids: pa.Array, words: list[str]) -> Iterator[str]:
    for word in words:
        rows = ids.filter(pc.equal(column, word))
        shown = ", ".join(map(str, rows.slice(0, _SHOWN).to_pylist()))
        yield f"operation {word!r} in {len(rows)} rows (row id {shown}): want one of {', '.join(OPERATIONS)}"


def _said(words: list[str], declared: Mapping[str, str] | None, elsewhere: str) -> str:
    """How to say what unknown words mean."""
    meant = f"operations={{{', '.join(f'{word!r}: ...' for word in words)}}}"
    if declared is None:
        return f". {elsewhere}, which takes {meant}" if elsewhere else ""
    return f". Say what they mean here: {meant}"
