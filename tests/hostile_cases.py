"""The hostile values of tests/data/hostile.jsonl, through every way in and out: exact, or the error named there.

Each line of that file is one case. ``in`` says what it is: a field's value, a field's name, a whole document, or the
time of a change. ``text`` is its JSON text (of a name: the name), in pieces with their counts where it is long. What is
wanted: ``told`` in diffs (else the text itself; null is JSON null), ``cell`` in a typed column as text (else as told),
``csv`` in a CSV for people and ``shown`` in a terminal (else as told), ``fields`` of a document, ``flag`` among the
evidence, ``error`` and its ``words``, ``records`` for the error of the changes as Python records. ``postgres`` is
``refused`` where its jsonb does not take the text, ``rewritten`` where it writes it otherwise; of a time, its text.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditlab.testing import make_log

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "CASES",
    "NAMED",
    "REFUSED",
    "TAKEN",
    "TIMES",
    "Case",
    "document",
    "field_of",
    "fields",
    "frame",
    "kind_of",
    "told",
]

Case = dict[str, Any]

CASES: list[Case] = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "hostile.jsonl").read_text("utf-8").splitlines()
]


def field_of(case: Case) -> str:
    """The field that holds a value: one of its own, so that no other value decides its column's type."""
    return f"v{CASES.index(case)}"


def whole(text: str | list[Any]) -> str:
    """A text that is written in pieces: each as often as it says, ``#`` a field of its own each time."""
    if isinstance(text, str):
        return text
    pieces = [", ".join(f'"k{n}": {n}' for n in range(times)) if part == "#" else part * times for part, times in text]
    return "".join(pieces)


def told(case: Case) -> str | None:
    """What diffs say of the value."""
    text = whole(case["text"])
    return case.get("told", text) if not isinstance(case.get("told"), list) else whole(case["told"])


def document(case: Case) -> str:
    """The snapshot that holds the case."""
    text = whole(case["text"])
    if case["in"] == "value":
        return f'{{"{field_of(case)}": {text}}}'
    if case["in"] == "key":
        return f"{{{case.get('raw', json.dumps(text))}: 1.10}}"
    return text


def fields(case: Case) -> dict[str, str | None]:
    """The fields of the snapshot, as diffs tell them."""
    if case["in"] == "value":
        return {field_of(case): told(case)}
    if case["in"] == "key":
        return {whole(case["text"]): "1.10"}
    return {name: whole(text) for name, text in case["fields"].items()}


TAKEN = [case for case in CASES if case["in"] != "time" and "error" not in case]
REFUSED = [case for case in CASES if case["in"] == "document" and "error" in case]
TIMES = [case for case in CASES if case["in"] == "time"]
NAMED = {f"{place:03}": case for place, case in enumerate(TAKEN)}
"""The cases by entity id."""


def kind_of(case: Case) -> str:
    """The entity type of a case: those of a sort together."""
    return f"hostile.{case['in']}s"


@cache
def frame() -> pl.DataFrame:
    """A log of the cases that are taken: each an entity, beside it one whose value is null, and one without it."""
    steps: list[tuple[Any, ...]] = []
    for name, case in NAMED.items():
        columns = {"entity_type": kind_of(case), "changed_by": whole(case["text"])[:200]}
        steps.append(("INSERT", name, document(case), columns))
        if case["in"] == "value":
            steps.append(("INSERT", f"{name} null", f'{{"{field_of(case)}": null}}', columns))
            steps.append(("INSERT", f"{name} none", "{}", columns))
    return make_log(steps)
