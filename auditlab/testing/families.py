"""Parents, children and theirs: small logs in which children move, and what an aggregate has to be, in plain Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from auditlab.testing.logs import json_text, make_log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    import polars as pl

    from auditlab.testing.equality import Exact, State

__all__ = ["KINDS", "family", "nested"]

Tree = dict[str, Any]
"""``{entity id: {kind: tree}}``"""

KINDS: dict[str, Any] = {
    "lines": ("shop.lines", "order_id", {"returns": ("shop.returns", "line_id"), "notes": ("shop.notes", "line_id")}),
    "tags": ("shop.tags", ("tenant", "order_no"), None),
}
"""The kinds of children of ``shop.orders`` in :func:`family`; tags refer to the orders' ``("tenant", "no")``."""

WRITTEN = {1: ("1", '"1"', "1.0"), 2: ("2", '"2"', "2e0"), 3: ("3", '"3"'), None: ("null",)}
"""A key of each order and line, in the ways in which it may be written."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def family(draw: Random, *, steps: int = 50) -> pl.DataFrame:
    """A log of orders, their lines and tags, and the lines' returns and notes, in the canonical columns.

    Children are inserted before their parents and outlive them, move between them, refer to none; keys are numbers in
    one row and texts in another; rows are deleted and inserted again, tables truncated, several changes share an
    instant.
    """
    live: dict[str, set[int]] = {name: set() for name in ("orders", "lines", "tags", "returns", "notes")}
    done: list[tuple[Any, ...]] = []
    for _ in range(steps):
        name, number = draw.choice(list(live)), draw.choice((1, 2, 3))
        columns = {"entity_type": f"shop.{name}"}
        if draw.random() < 0.02:  # noqa: PLR2004 - seldom
            done.append(("TRUNCATE", columns))
            live[name].clear()
        elif number in live[name] and draw.random() < 0.3:  # noqa: PLR2004 - now and then
            done.append(("DELETE", f"{name}{number}", columns))
            live[name].remove(number)
        else:
            operation = "UPDATE" if number in live[name] else "INSERT"
            done.append((operation, f"{name}{number}", _row(draw, name, number), columns))
            live[name].add(number)
    log = make_log(done)
    return log.with_columns(changed_at=log["changed_at"].dt.truncate("2s"))


def _row(draw: Random, name: str, number: int) -> str:
    def key(*, own: bool = False) -> str:
        return draw.choice(WRITTEN[number if own else draw.choice((1, 2, 3, None))])

    fields = {"weight": str(draw.randrange(100))}
    match name:
        case "orders":
            fields |= {"id": key(own=True), "tenant": draw.choice(('"a"', '"a"', '"b"')), "no": key(own=True)}
        case "lines":
            fields |= {"id": key(own=True), "order_id": key()}
        case "tags":
            fields |= {"tenant": draw.choice(('"a"', '"a"', '"b"', "null")), "order_no": key()}
        case _:
            fields |= {"line_id": key()} if draw.random() < 0.9 else {}  # noqa: PLR2004 - now and then none
    return "{" + ", ".join(f"{json_text(field)}: {text}" for field, text in fields.items()) + "}"


def nested(
    states: Mapping[tuple[str, str], State],
    entity_type: str,
    items: Mapping[str, tuple[Any, ...]],
    *,
    keys: Mapping[str, tuple[str, ...]],
) -> Tree:
    """Every entity of a type that is there, with its children that are, and these with theirs.

    Args:
        states: What is there, by type and entity id.
        entity_type: The parents' type.
        items: Their kinds of children: type, the field or fields that refer, and their own kinds.
        keys: By child type, the parents' fields that it refers to; ``id`` where it is not named.
    """
    tree: Tree = {}
    for (own_type, entity_id), state in sorted(states.items(), key=lambda one: one[0]):
        if own_type == entity_type:
            tree[entity_id] = {}
            for name, (child_type, refers, *rest) in items.items():
                fields = (refers,) if isinstance(refers, str) else refers
                mine = [_key(state.get(field)) for field in keys.get(child_type, ("id",))]
                children = nested(states, child_type, (rest[0] if rest else None) or {}, keys=keys)
                tree[entity_id][name] = {
                    child: below
                    for child, below in children.items()
                    if None not in mine and [_key(states[child_type, child].get(field)) for field in fields] == mine
                }
    return tree


def _key(value: Exact | None) -> object:
    """What makes two keys one: a number is the text that writes it plainly; null is no key."""
    if value is None:
        return None
    match value.value:
        case ("null",):
            return None
        case ("number", number):
            return f"{number.normalize():f}"
        case ("text", text):
            return text.lower() if _UUID.fullmatch(text) else text
        case other:
            return other
