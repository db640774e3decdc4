"""The text of ``sql/``: found in an installed wheel and in a checkout alike."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from auditlab.errors import AuditlabError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["describe", "names", "quote_identifier", "quote_literal", "text"]


@cache
def _root() -> Traversable:
    installed = files("auditlab") / "sql"
    if installed.is_dir():
        return installed
    checkout = Path(__file__).resolve().parent.parent / "sql"
    if checkout.is_dir():
        return checkout
    raise AuditlabError("auditlab's SQL files are missing from this installation. Reinstall it: pip install auditlab")


def names(folder: str) -> list[str]:
    """The queries of one folder of ``sql/``, by name, sorted."""
    return sorted(entry.name.removesuffix(".sql") for entry in (_root() / folder).iterdir())


@cache
def text(folder: str, name: str) -> str:
    """The text of ``sql/<folder>/<name>.sql`` as it stands."""
    return (_root() / folder / f"{name}.sql").read_text(encoding="utf-8")


def describe(folder: str, name: str) -> str:
    """The first comment line of a query: what it answers."""
    return text(folder, name).splitlines()[0].removeprefix("--").strip()


def quote_identifier(name: str) -> str:
    """A name as a SQL identifier that any text is safe in."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """A text as a SQL literal (standard-conforming strings). For places that take no parameter."""
    return "'" + value.replace("'", "''") + "'"
