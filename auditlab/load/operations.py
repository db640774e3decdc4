"""What other logs call an operation, in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import MalformedChange
from auditlab.schema import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ALIASES", "canonical_operations"]

ALIASES: dict[str, str] = {
    **{name: name for name in OPERATIONS},
    **{name[0]: name for name in ("INSERT", "UPDATE", "DELETE", "TRUNCATE")},
    "CREATE": "INSERT",
    "C": "INSERT",
    "R": "SNAPSHOT",
    "READ": "SNAPSHOT",
    "+": "INSERT",
    "~": "UPDATE",
    "-": "DELETE",
}
"""Debezium's ``c u d t r``, the one-letter forms of many trails, and the words; case does not matter."""

_SHOWN = 5


def canonical_operations(column: pa.Array, ids: pa.Array) -> pa.Array:
    """The operations in our five words; nulls stay null (the schema check names them).

    Raises:
        MalformedChange: an operation that is none of ours and no alias, with the rows' ids.
    """
    coded = column.dictionary_encode()
    words = [None if word is None else ALIASES.get(word.strip().upper()) for word in coded.dictionary.to_pylist()]
    if None in words:
        raise MalformedChange("; ".join(_unknown(column, ids, coded.dictionary.to_pylist())))
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(words, pa.string())).cast(pa.string())


def _unknown(column: pa.Array, ids: pa.Array, words: list[str | None]) -> Iterator[str]:
    for word in words:
        if word is not None and word.strip().upper() not in ALIASES:
            rows = ids.filter(pc.equal(column, word))
            shown = ", ".join(map(str, rows.slice(0, _SHOWN).to_pylist()))
            yield f"operation {word!r} in {len(rows)} rows (row id {shown}): want one of {', '.join(OPERATIONS)}"
