"""The report: a summary, the evidence and chosen answers in one HTML file that opens anywhere."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditlab.errors import BadOption
from auditlab.printable import printable
from auditlab.report.provenance import digests, made_of, made_with, pairs
from auditlab.report.question import Question
from auditlab.report.sections import SECTIONS, Section, answered
from auditlab.widgets.document import document
from auditlab.widgets.hidden import hidden
from auditlab.widgets.picks import collected
from auditlab.written import whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlab.changelog import ChangeLog
    from auditlab.clock import Moment

__all__ = ["report"]


def report(
    log: ChangeLog[Any],
    path: str | Path | None = None,
    *,
    include: Sequence[str] | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    by: str | None = None,
    mask: Sequence[str] = (),
    omit: Sequence[str] = (),
    rows: int = 500,
    documents: bool = True,
    read_from: str | Path | None = None,
    title: str = "Audit report",
) -> str | Path:
    """See :meth:`auditlab.changelog.ChangeLog.report`; ``log`` is a log, some types of it, or one entity."""
    if rows < 1:
        raise BadOption(f"rows counts from 1: {rows} cannot be.")
    question = Question(log, start, end, by, hidden(log, mask=mask, omit=omit), rows, documents)
    names = list(SECTIONS) if include is None else list(include)
    if include is None:
        one = collected(log.changes()).select("entity_type", "entity_id").drop_nulls().n_unique() == 1
        left_out = {"diffs"} | (set() if one else {"history", "blame"})
        left_out |= set() if start is not None and end is not None else {"compare"}
        names = [name for name in names if name not in left_out]
    identity = digests(log, read_from)
    sections = {name: answered(name, question) for name in names}
    call = question.code + _call(
        include=include, start=start, end=end, by=by, mask=tuple(mask), omit=tuple(omit), rows=rows, documents=documents
    )
    text = document(title, _parts(question, sections, identity, call), style=_style())
    if path is None:
        return text
    with whole(Path(path)) as file:
        file.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def _parts(question: Question, sections: dict[str, Section], identity: list[tuple[str, str]], call: str) -> list[Any]:
    titles = {"about": "What this report is about", **{name: one.title for name, one in sections.items()}}
    titles |= {"run": "What was run"}
    entries = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title in titles.items())
    words = "".join(f'<p class="al-warning" role="note">{escape(printable(one))}</p>' for one in question.words)
    parts: list[Any] = [
        f'<nav class="auditlab al-toc" aria-label="Contents"><ol>{entries}</ol></nav>',
        _headed("about", titles["about"]) + words,
        pairs("The log", made_of(question.log)),
        pairs("Digests (SHA-256)", identity),
        pairs("This report", made_with(call)),
        "</section>",
    ]
    for name, section in sections.items():
        parts += [_headed(name, section.title), *section.parts, "</section>"]
    return [*parts, _headed("run", titles["run"]) + _run(question.log, sections) + "</section>"]


def _headed(name: str, title: str) -> str:
    return f'<section class="auditlab al-section" aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>'


def _run(log: ChangeLog[Any], sections: dict[str, Section]) -> str:
    """The code of each answer, and the SQL of each verb that answered by SQL."""
    told: list[str] = []
    verbs: dict[str, None] = {}
    for section in sections.values():
        codes = dict.fromkeys(code for code, _ in section.asked)
        listed = "".join(f"<li><code>{escape(printable(code))}</code></li>" for code in codes)
        told.append(f"<h3>{escape(section.title)}</h3><ul>{listed}</ul>")
        verbs |= {verb: None for _, verb in section.asked if verb is not None}
    told += [f'<h3>SQL of {verb}</h3><pre tabindex="0">{escape(log.sql(verb))}</pre>' for verb in verbs]
    return "".join(told)


def _call(**options: object) -> str:
    usual = {"include": None, "start": None, "end": None, "by": None, "mask": (), "omit": (), "rows": 500}
    usual |= {"documents": True}
    given = ", ".join(
        f"{name}={value!r}" if isinstance(value, str | int | tuple | list | bool) else f"{name}={str(value)!r}"
        for name, value in options.items()
        if value != usual[name]
    )
    return f".report({given})"


def _style() -> str:
    return files("auditlab.report").joinpath("report.css").read_text(encoding="utf-8")
