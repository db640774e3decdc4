"""Logs of other layouts on the command line: --operation, --fields, --entity-type and what --column takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from auditlab.connection import connect
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]

FLAT = """key,op,at,who,total,note
7,0,2024-06-01 12:00:00 UTC,ann,1.10,a
7,1,2024-06-01 13:00:00 UTC,bob,2.50,
8,0,2024-06-01 14:00:00 UTC,ann,5,
8,2,2024-06-01 15:00:00 UTC,ann,,
"""
WORDS = [word for one in ("0=INSERT", "1=update", "2=DELETE") for word in ("--operation", one)]
NAMES = [
    word
    for one in ("id=", "entity_id=key", "operation=op", "changed_at=at", "changed_by=who", "transaction_id=")
    for word in ("--column", one)
]
TYPE = ["--entity-type", "shop.orders"]


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    path = tmp_path / "flat.csv"
    path.write_text(FLAT)
    return path


def rows(done: Result) -> list[dict[str, object]]:
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("fields", "total", "note"),
    [(["--fields", "rest"], "2.50", None), (["--fields", "total=number, note"], 2.5, None)],
)
def test_a_flat_file_answers(typed: Typed, flat: Path, fields: list[str], total: object, note: object):
    (row,) = rows(typed("as-of", flat, *WORDS, *NAMES, *TYPE, *fields, "-f", "jsonl"))
    assert (row["entity_id"], row["total"], row["note"]) == ("7", total, note)


def test_a_key_of_the_fields_and_times_that_are_numbers(typed: Typed, tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("op,at,a,b,n\nx,1717243200,1,2,5\nx,1717243260,1,2,6\nlook,1717243320,1,2,6\n")
    names = [word for one in ("id=", "operation=op", "changed_at=at", "changed_by=", "transaction_id=")
             for word in ("--column", one)]  # fmt: skip
    options = [*names, *TYPE, "--fields", "rest", "--unit", "s", "--operation", "x=UPSERT", "--operation", "look="]
    for key in ("a,b", "shop.orders=a,b"):
        found = rows(
            typed("history", path, *options, "--key-fields", key, "-f", "jsonl", "--entity", '{"a": 1, "b": 2}')
        )
        assert [(row["operation"], row["valid_from"][:16], row["n"]) for row in found] == [
            ("INSERT", "2024-06-01T12:00", "5"), ("UPDATE", "2024-06-01T12:01", "6"),
        ]  # fmt: skip


def test_a_flat_file_is_archived_in_our_columns(typed: Typed, flat: Path, tmp_path: Path):
    options = [*WORDS, *NAMES, *TYPE, "--fields", "total=number,note"]
    done = typed("archive", flat, tmp_path / "kept", *options)
    assert done.exit_code == 0, done.output
    asked = ("history", "-f", "jsonl")
    assert rows(typed(*asked, tmp_path / "kept")) == rows(typed(*asked, flat, *options))


def test_an_entity_type_is_put_together_from_two_columns(typed: Typed, tmp_path: Path):
    row = {"id": 1, "s": "shop", "t": "orders", "entity_id": "a", "operation": "destroy"}
    row |= {"changed_at": "2024-06-01T12:00Z", "before_snapshot": {"x": 1}, "after_snapshot": None}
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    done = typed("timeline", tmp_path / "log.jsonl", "--column", "entity_type=s+t", "-f", "jsonl")
    assert [(one["entity_type"], one["operation"]) for one in rows(done)] == [("shop.orders", "DELETE")]


@pytest.mark.filterwarnings("always")
def test_messages_name_the_options(typed: Typed, flat: Path):
    done = typed("history", flat, *NAMES, *TYPE, "--fields", "rest", "--operation", "0=INSERT")
    assert done.exit_code == 2
    assert "--operation 1=... --operation 2=..." in done.stderr
    done = typed("history", flat, *WORDS, *NAMES[:8], *TYPE, "--fields", "rest")
    assert done.exit_code == 0
    assert "'who', 'total', 'note' are fields, as --fields rest says" in done.stderr
    assert "say so: --column changed_by= --column transaction_id=" in done.stderr
    done = typed("history", flat)
    assert "by --column id=." in done.stderr
    assert "--entity-type shop.orders says which" in done.stderr
    assert "--fields name,total makes the images" in done.stderr
    assert "columns=" not in done.stderr


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        (FLAT.replace("key", "id"), ["entity_id=id"], "read as entity_id; name another: --column 'id=name there')"),
        (FLAT.replace("key", "id"), ["entity_id=id"], "in which they stand, by --column id=."),
        (FLAT.replace("total,note", "x,x"), ["id=", "entity_id=key"], "'x', a field: there are 2 columns of that name"),
        (
            FLAT.replace("13:00", "11:00"),
            ["id=", "entity_id=key"],
            (
                "--column id= numbers the rows of {path} in the order in which they stand, and that is not the order "
                "of what happened: row 2 (UPDATE of shop.orders '7') has changed_at=2024-06-01 11:00:00+00:00, and row "
                "1, which stands before it, has 2024-06-01 12:00:00+00:00; 1 rows stand behind a later one of their "
                "entity. Sort the rows by time, those of one time as they happened; or name a column that numbers them "
                "as they happened: --column 'id=name there'."
            ),
        ),
    ],
)
def test_a_layout_that_is_not_told_rightly_is_said_in_the_options(
    typed: Typed, flat: Path, text: str, columns: list[str], words: str
):
    flat.write_text(text)
    named = [word for one in columns for word in ("--column", one)]
    done = typed("history", flat, *WORDS, *named, *NAMES[4:], *TYPE, "--fields", "rest")
    assert done.exit_code == 2
    assert words.format(path=flat) in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--operation", "destroy"], "--operation takes WORD=OPERATION, e.g. --operation destroy=DELETE"),
        (["--operation", "x=MERGE"], "--operation says 'MERGE', which is no operation"),
        (["--fields", "total,,note"], "--fields takes names of columns with commas between"),
        (["--fields", "total=money"], "--fields says {'total': 'money'}"),
        (["--fields", "total", "--column", "after_snapshot=note"], "--fields makes the images, and --column gives"),
        (["--entity-type", ""], "--entity-type '' is no name"),
        (["--key-fields", "a,,b"], "--key-fields takes columns with commas between"),
        (["--key-fields", "a", "--column", "entity_id=note"], "--key-fields makes that, and --column gives entity_id"),
        (["--unit", "h"], "--unit 'h': numbers tell times in one of s, ms, us"),
        (["--entity-type", "a", "--column", "entity_type=note"], "is of all rows, and --column gives a column"),
    ],
)
def test_options_that_say_nothing_are_refused(typed: Typed, flat: Path, options: list[str], words: str):
    done = typed("history", flat, *options)
    assert done.exit_code == 2
    assert words in done.stderr


@pytest.mark.parametrize("option", [["--operation", "x=INSERT"], ["--fields", "rest"], ["--entity-type", "a"]])
def test_they_are_for_files_alone(typed: Typed, tmp_path: Path, option: list[str]):
    make_log([("INSERT", "a", {"x": 1})]).write_parquet(tmp_path / "log.parquet")
    assert typed("archive", tmp_path / "log.parquet", tmp_path / "kept").exit_code == 0
    (tmp_path / "events.jsonl").write_text('{"before": null, "after": {"id": 1}, "source": {}, "op": "c"}\n')
    for command, source, words in (
        ("history", tmp_path / "kept", "is for files, and for a database with --query"),
        ("history", "postgresql:///none", "is for files"),
        ("archive", "postgresql:///none", "is for files"),
        ("history", tmp_path / "events.jsonl", "is for rows of other logs; Debezium's events tell that"),
    ):
        more = [tmp_path / "new"] if command == "archive" else []
        done = typed(command, source, *more, *option)
        assert done.exit_code == 2
        assert f"{option[0]} {words}" in done.stderr


def test_a_query_of_a_database_is_a_log(typed: Typed, make_database: Callable[..., str], tmp_path: Path):
    dsn = make_database(prefix="query")
    with connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE versions (n int, key int, what text, who text, made timestamptz, total numeric)"
        )
        connection.execute(
            "INSERT INTO versions VALUES (1, 7, 'new', 'ann', '2024-03-10', 1.1), "
            "(2, 7, 'put', 'bob', '2024-03-11', 2.2)"
        )
    told = ["id=n", "entity_id=key", "operation=what", "changed_by=who", "changed_at=at", "transaction_id="]
    asked = [
        "--query",
        "SELECT *, made::timestamptz AS at FROM versions",
        *(word for one in told for word in ("--column", one)),
        "--fields",
        "total",
    ]
    asked += ["--operation", "new=INSERT", "--operation", "put=UPDATE", "--entity-type", "shop.orders"]
    done = typed("diffs", dsn, *asked, "-t", "shop.orders", "--format", "csv")
    assert done.exit_code == 0, done.stderr
    assert "modified,true,true,1.1,2.2,bob" in done.stdout
    assert typed("archive", dsn, tmp_path / "kept", *asked).exit_code == 0
    of_archive = typed("diffs", tmp_path / "kept", "-t", "shop.orders", "--format", "csv")
    assert of_archive.stdout == done.stdout
    for more, words in (
        (["diffs", tmp_path / "kept", "--query", "SELECT 1"], "--query is for a SOURCE that is a DSN"),
        (["diffs", dsn, *asked, "--archive", tmp_path / "kept"], "--query is for a SOURCE that is a DSN"),
        (["diffs", dsn, *asked, "--since", "2024"], "--since is for a database's own log"),
        (["diffs", dsn, *asked, "--clock", "changed_at"], "--clock is for a database's own log"),
        (["archive", dsn, tmp_path / "new", *asked, "--follow"], "--once and --follow are for a database's own log"),
    ):
        refused = typed(*more)
        assert refused.exit_code == 2
        assert words in refused.stderr
