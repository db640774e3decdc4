"""Text from a log as a terminal, or a page, may safely show it, and numbers as people read them."""

from __future__ import annotations

__all__ = ["megabytes", "printable", "printable_lines"]

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}


def printable(text: str) -> str:
    r"""The text with every character that a terminal or a page would obey, hide or reorder by as an escape.

    Escape sequences could recolour, erase or retitle the terminal, bidirectional controls show a text in another
    order than it has, and zero-width characters hide: an auditor must see all three.

    >>> printable("paid\x1b[2J")
    'paid\\e[2J'
    >>> printable("invoice\u202efdp.exe")
    'invoice\\u202efdp.exe'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def printable_lines(text: str) -> str:
    r"""The text with its lines as they are, and each of them printable.

    >>> printable_lines("paid\n\x1b[2J")
    'paid\n\\e[2J'
    """
    return text if text.isprintable() else "\n".join(printable(line) for line in text.split("\n"))


def megabytes(count: int) -> str:
    """A number of bytes in words: GB from 0.1 on, else MB.

    >>> megabytes(1_340_000_000), megabytes(1_340_000)
    ('1.3 GB', '1.3 MB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 100_000_000 else f"{count / 1e6:,.1f} MB"  # noqa: PLR2004 - 0.1 GB


def _escaped(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
