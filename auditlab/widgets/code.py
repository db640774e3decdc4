"""The Python code that makes a selection of a log again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["call", "log_code"]


def log_code(selected: Selected) -> str:
    """The code of a selection of a log, which is ``log`` there: ``log.of('orders.orders').by('alice')``."""
    code = "log"
    if selected.entity_types != selected.recorded.entity_types or selected.entity_id is not None:
        code += f".of({', '.join(map(repr, selected.entity_types))})"
    if selected.entity_id is not None:
        code += f".entity({selected.entity_id!r})"
    return code + "".join(selected.code)


def call(name: str, *values: object, **options: object) -> str:
    """The code of a call with the options that are not None: ``.explore(lanes='user')``."""
    given = [*map(repr, values), *(f"{option}={value!r}" for option, value in options.items() if value is not None)]
    return f".{name}({', '.join(given)})"
