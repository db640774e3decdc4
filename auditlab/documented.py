"""What ``help()`` says of a method that a function answers: all that the function says, not its name alone."""

from __future__ import annotations

import re
from inspect import cleandoc, signature
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["documented"]

C = TypeVar("C")

_NAMED = re.compile(r":func:`(auditlab\.[\w.]+)`: ")
"""How a docstring begins that names the function which answers."""
_ARGS = re.compile(r"^Args:\n((?:    .*\n)+)\n?", re.MULTILINE)
_ARG = re.compile(r"^    (\w+): .*\n(?:     .*\n)*", re.MULTILINE)
_AFTER = re.compile(r"^(?:Returns:|Raises:|Warns:|>>> |\Z)", re.MULTILINE)
"""What the arguments stand before."""
_ABOUT = {
    "entity": "    entity: Its id, the value of its primary key, or a mapping of the key's columns to values; for\n"
    "        None, where that is the default, all that are selected.\n",
    "entity_type": "    entity_type: Of which type it is, where several have such an entity.\n",
}
"""Arguments that methods have beside those of their functions."""


def documented(cls: type[C]) -> type[C]:
    """A class whose methods say what the functions say that their docstrings name."""
    for method in vars(cls).values():
        named = _NAMED.match(getattr(method, "__doc__", None) or "")
        if named is not None and callable(method):
            method.__doc__ = _in_full(method, resolve_name(named[1]))
    return cls


def _in_full(method: Callable[..., object], function: Callable[..., object]) -> str:
    """What the function says, but for arguments that the method has in itself, and with those that it has beside."""
    text = cleandoc(function.__doc__ or "") + "\n"
    found = _ARGS.search(text)
    told = {entry[1]: entry[0] for entry in _ARG.finditer(found[1])} if found else {}
    taken = [name for name in signature(method).parameters if name in told or name in _ABOUT]
    args = "".join(told.get(name) or _ABOUT[name] for name in taken)
    section = f"Args:\n{args}\n" if args else ""
    if found:
        return f"{text[: found.start()]}{section}{text[found.end() :]}".strip()
    place = next(_AFTER.finditer(text)).start()
    return f"{text[:place].rstrip()}\n\n{section}{text[place:]}".strip()
