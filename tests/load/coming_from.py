"""The README's calls for the logs of other tools, and what is asked of what they load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = ["README", "call_of", "kinds", "states"]

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def call_of(tool: str) -> str:
    """The call in the tool's row of the table "Coming from"."""
    (found,) = re.findall(rf"^\| {re.escape(tool)}\b.*\| `(al\..*)` \|$", README, re.MULTILINE)
    return found


def states(log: Any, *fields: str) -> list[tuple[object, ...]]:  # noqa: ANN401
    return log.history().select("entity_id", "operation", "changed_by", *fields).rows()


def kinds(log: Any) -> list[str]:  # noqa: ANN401
    """What evidence finds, but for what is normal in such logs."""
    usual = {"no transaction ids", "missing images", "equal times"}
    return [kind for kind in log.evidence().findings["kind"].to_list() if kind not in usual]
