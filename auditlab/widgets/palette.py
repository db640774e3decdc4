"""The colours of the views: safe for the colour-blind (Okabe and Ito), and never the only sign."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "OPERATIONS", "Mark"]


@dataclass(frozen=True, slots=True)
class Mark:
    """How an operation is shown.

    Args:
        colour: Readable on white and on dark.
        letter: What stands for it where there is room for one character.
        shape: The form of its mark: ``triangle``, ``circle``, ``square``, ``diamond`` or ``ring``.
    """

    colour: str
    letter: str
    shape: str


OPERATIONS: dict[str, Mark] = {
    "INSERT": Mark("#009E73", "I", "triangle"),
    "UPDATE": Mark("#0072B2", "U", "circle"),
    "DELETE": Mark("#D55E00", "D", "square"),
    "TRUNCATE": Mark("#CC79A7", "T", "diamond"),
    "SNAPSHOT": Mark("#777777", "S", "ring"),
}
"""By operation; ``page.js`` has the same, and a test holds them together."""

KINDS = {"added": "+", "removed": "-", "modified": "~"}
"""The sign of each kind of diff."""
