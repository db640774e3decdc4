"""The command ``auditlab``: its commands, and the one place where errors become an exit code."""

from __future__ import annotations

import inspect
import os
import re
import sys
import warnings
from contextlib import contextmanager
from importlib.metadata import version
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from auditlab.cli import ask, capture, demo, doctor, evidence, join, keep, mark, prune, reconcile, report, seal, summary
from auditlab.cli.output import warn
from auditlab.cli.words import in_commands
from auditlab.connection import redact
from auditlab.errors import AuditlabError, BadOption

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["app", "main"]

FAILED = 2
"""Exit code: the command could not do what it was asked."""
PIPE_CLOSED = 141
"""Exit code: the reader of our output went away; what a shell reports for SIGPIPE."""

ABOUT = """Exact answers from the change log of a database: states at any time, differences, who changed what.

[bold]SOURCE[/bold] is a DSN (postgresql://...), a file (Parquet, CSV or JSON Lines), or an archive folder.

\b
[bold]Start here[/bold]
  [dim]# see all of it, on a PostgreSQL of its own[/dim]
  auditlab demo
  [dim]# begin to record a table[/dim]
  auditlab init DSN && auditlab track DSN orders.orders
  [dim]# every order as it was[/dim]
  auditlab as-of SOURCE -t orders.orders --at 2024-06-01
  [dim]# who changed totals, from what to what[/dim]
  auditlab diffs SOURCE -t orders.orders --field total
  [dim]# can this log be trusted?[/dim]
  auditlab evidence SOURCE
  [dim]# did anything bypass it?[/dim]
  auditlab reconcile DSN
  [dim]# a file for the audit's folder[/dim]
  auditlab report SOURCE -o report.html
  [dim]# keep the log, and prove that it is whole[/dim]
  auditlab archive DSN archive/ && auditlab verify archive/
  [dim]# why does a view not show?[/dim]
  auditlab doctor

\b
[bold]Exit codes[/bold]
  0    done
  1    done, and a check, a verification or the demo's proof found a fault
  2    could not do it; one message on stderr says why
  130  interrupted by Ctrl-C (archive --follow and demo also by SIGTERM); 141: the reader of the output went away
"""

_EXAMPLES = "[bold]Examples[/bold]"

_BESIDE = re.compile(r" *(\S.*?) {3,}(.*)")
"""An example, and what it is for."""


@contextmanager
def _guarded() -> Iterator[None]:
    """What goes wrong is one clear message on stderr and an exit code, never a traceback."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more at exit, into the closed pipe: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except AuditlabError as exc:
        warn(f"auditlab: {redact(in_commands(str(exc)))}")
        raise typer.Exit(FAILED) from exc
    except OSError as exc:
        # A full disk: what is still buffered can go nowhere at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        warn(f"auditlab: {exc.filename or 'cannot write the output'}: {exc.strerror or exc}.")
        raise typer.Exit(FAILED) from exc
    except SystemExit as exc:
        # Help is written by a console that ends the program itself, with 1, where nobody reads on.
        if exc.code != 1:
            raise
        raise typer.Exit(PIPE_CLOSED) from None


class _Guarded(TyperGroup):
    """Commands that are guarded, also while their options and arguments are read."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401 - click's own signature
        with _guarded():
            for word in args:
                _check_utf_8(word)
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's own signature
        with _guarded(), warnings.catch_warnings():
            warnings.showwarning = _tell
            return super().invoke(ctx)


def _check_utf_8(word: str) -> None:
    """Refuse an argument that neither a file's name nor a text in the log can be.

    Raises:
        BadOption: its bytes were no text.
    """
    try:
        word.encode()
    except UnicodeEncodeError as exc:
        raise BadOption(
            f"{word!r} is no UTF-8. Where that is the terminal's doing, set a UTF-8 locale, such as LC_ALL=C.UTF-8; "
            "a file or folder with such a name must be renamed."
        ) from exc


app = typer.Typer(
    cls=_Guarded,
    name="auditlab",
    help=ABOUT,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, help="Show the version and exit.", callback=lambda on: _version(on=on)
        ),
    ] = False,
) -> None:
    """The options before the command."""


def _version(*, on: bool) -> None:
    if on:
        sys.stdout.write(f"auditlab {version('auditlab')}\n")
        raise typer.Exit


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the place in our code tells nobody
    """Show a warning as what it says."""
    warn(f"auditlab: warning: {redact(in_commands(str(message)))}")


def _help(text: str) -> str:
    """A docstring as help: the terminal's width, not the source's, says where a paragraph's lines end.

    What an example is for stands above it, and not beside it, where a narrow terminal would wrap it.
    """
    told, _, examples = text.partition(_EXAMPLES)
    flowing = [paragraph.replace("\n", " ") for paragraph in told.strip().split("\n\n")]
    lines = [_BESIDE.sub(r"  [dim]# \2[/dim]\n  \1", line) for line in examples.splitlines() if line]
    return "\n\n".join([*flowing, "\n".join(["\b", _EXAMPLES, *lines])] if lines else flowing)


for group in (demo, doctor, capture, mark, summary, ask, join, evidence, reconcile, report, keep, seal, prune):
    group.add_to(app)
for command in app.registered_commands:
    command.help = _help(inspect.getdoc(command.callback) or "")


def main() -> None:
    """Run the command line."""
    _open_again()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            _write_any_text(stream)
    app(prog_name="auditlab")


def _open_again() -> None:
    """Stand in for streams that were closed: standard output takes no text and says so, standard error drops it."""
    if getattr(sys, "stdout", None) is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if getattr(sys, "stderr", None) is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _write_any_text(stream: TextIOWrapper) -> None:
    """Files and pipes get UTF-8 whatever the locale; a terminal that lacks a character gets its escape."""
    if stream.isatty():
        stream.reconfigure(errors="backslashreplace")
    else:
        stream.reconfigure(encoding="utf-8")
