"""What messages say of Python's options, said in those of the command line."""

from __future__ import annotations

import ast
import re
import shlex

__all__ = ["SPOKEN", "in_commands"]

SPOKEN: dict[str, str] = {
    r"load it with coverage=\(start, end\)": "read it with --coverage START END",
    r"is loaded with coverage=\.": "is read with --coverage START END.",
    r"^coverage= ": "--coverage ",
    r'outside="flag" keeps': "--outside flag keeps",
    r"columns=\{'canonical name': 'name there'\}": "--column OURS=THEIRS",
    r"^columns= ": "--column ",
    r"and columns= gives": "and --column gives",
    r"\boperations= (says|gives)": r"--operation \1",
    r"\bfields='rest'": "--fields rest",
    r"\bfields= (names|makes|says)": r"--fields \1",
    r"fields=\['name', 'total'\]": "--fields name,total",
    r"entity_type='shop\.orders' says": "--entity-type shop.orders says",
    r"\bkey= (names|makes)": r"--key-fields \1",
    r"name all of them: key=\['a', 'b'\]": "name all of them: --key-fields a,b",
    r"^unit=(.*): numbers": r"--unit \1: numbers",
    r"\bunit='s', 'ms' or 'us'": "--unit s, ms or us",
    r"that unit= names\. Leave unit= away": "that --unit names. Leave --unit away",
    r"^entity_type=(.*) is (no name|of all rows)": r"--entity-type \1 is \2",
    r"Give the one that you mean as a Mark, or the snapshot that it saw \(snapshot=\)": "Give the snapshot that the "
    "one that you mean saw (as-of and blame --snapshot)",
    r"Without since= the whole log": "Without --since the whole log",
    r"or name its column: key='id'": "or name its column: --column entity_id=id",
    r"with the archive that has them: al\.scan\(dsn, archive\)": "with the archive that has them: --archive FOLDER",
    r"ask it together with its archive, al\.scan\(dsn, archive\)": "ask it together with its archive, --archive FOLDER",
    r"load it without since=": "ask without --since",
    r"with clock='changed_at'": "with --clock changed_at",
    r"Give None for": "Give NAME= for",
    r"\(at=, id=\)": "(--at, --id)",
    r"Give a Mark, which has its time, or load the log from its database without end=\.": "Give a mark of the log's "
    "database, which has its time (--mark).",
    r"of\(\.\.\.\) selects types that are\.": "--type selects types that are.",
    r"\(log\.of\(\.\.\.\)\), see one entity by history\(\) or explore\(\)": "(--type), see one entity by history "
    "(--entity)",
    r"scan_archive\(folder, memory=\"(.+)MB\"\)": r"--memory \1MB",
    r"memory= more memory": "--memory more memory",
    r": log\.doubtful\(at\) lists them; as of a mark there is no doubt\.": ". As of a mark (--mark) there is no doubt.",
    r"log\.evidence\(\) has": "auditlab evidence has",
    r"entity types \(log\.of\(\.\.\.\)\); changes\(\) and evidence\(\) answer": "entity types (--type); auditlab "
    "evidence answers",
    r"strict=False loads the rest and sets these aside\.": "auditlab evidence shows them; --set-aside answers from the "
    "rest.",
    r"load the log with strict=False, which sets them aside,": "answer without them (--set-aside),",
    r"say by entity=, at= \(and known=\)": "say by --entity, --at (and --known)",
    r"pit_join\(\) by two clocks takes both: known=": "pit-join by two clocks takes both, --known and --valid: --known",
    r"know, and valid=, the field": "know, and --valid, the field",
    r"valid= takes a field": "--valid takes a field",
    r"say by key= which": "say by --key which",
    r"^tolerance= takes": "--tolerance takes",
    r"^renamed\(\) takes": "--rename takes",
    r"say up to when the old name counts: renamed\(\.\.\., before=ID\) or before_transaction=ID\.": "--rename does not "
    "help, which goes for all changes alike: in Python, renamed takes the change up to which the old name counts.",
    r"take the change that did it: renamed\(\.\.\., before=ID\) or before_transaction=ID\.": "need the change that did "
    "it, which --rename does not take: in Python, renamed does.",
    r"the zone they were written in by zone=\.": "the zone they were written in by --zone.",
    r"^memory=(.*) is no size\. Give bytes, or e\.g\. memory=\"1GB\"\.": r"--memory \1 is no size. Give bytes, or e.g. "
    "--memory 1GB.",
    r"(as_of|blame)\(\) takes one of at, ": r"\1 takes one of --at, ",
    r"compare\(\) goes from the earlier": "compare goes from the earlier",
    r"between\(\) goes from the earlier to the later": "--from is the earlier, --to the later",
    r"changes\(\), diffs\(\), timeline\(\) and summary\(\) answer here": "diffs, timeline and summary answer here",
    r"\b(as_of|history|compare|blame|pit_join|aggregate|replay|evidence|drift)\(\) needs": r"\1 needs",
}
"""Patterns of what the package says to those who call it, and what is said in their place."""

_PAIRS = re.compile(r"\b(column|operation)s=(\{[^{}]*\})")
_OPTIONS = re.compile(r"(as_of|blame) takes one of --at, (.*?)\.$", re.MULTILINE)


def in_commands(message: str) -> str:
    """A message in the words of the command line.

    >>> in_commands("as_of() takes one of at, id, transaction, mark and snapshot.")
    'as-of takes one of --at, --id, --transaction, --mark and --snapshot.'
    >>> in_commands("operations={'destroy': ...}")
    '--operation destroy=...'
    """
    for pattern, spoken in SPOKEN.items():
        message = re.sub(pattern, spoken, message)
    message = _PAIRS.sub(_as_pairs, message)
    return _OPTIONS.sub(_as_options, message).replace("as_of ", "as-of ").replace("pit_join ", "pit-join ")


def _as_pairs(found: re.Match[str]) -> str:
    try:
        pairs = ast.literal_eval(found[2])
    except (SyntaxError, ValueError):
        return found[0]
    given = {word: {None: "", ...: "..."}.get(value, value) for word, value in pairs.items()}
    return " ".join(f"--{found[1]} {shlex.quote(f'{word}={value}')}" for word, value in given.items())


def _as_options(found: re.Match[str]) -> str:
    names = re.sub(r"\b(?!and\b)(\w+)", r"--\1", found[2])
    return f"{found[1]} takes one of --at, {names}."
