from __future__ import annotations

import os
import time
from pathlib import PurePosixPath
from threading import Timer
from typing import TYPE_CHECKING

import pytest

from auditlab.connection import connect, redact, translated
from auditlab.errors import (
    AccessDenied,
    BadOption,
    ConnectionFailed,
    DatabaseError,
    NoSuchTable,
    ServerTooOld,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.demo.server import Server

SECRETS = [
    "postgresql://ann:s3cret@db.example:5432/orders?sslmode=require",
    "postgres://ann:s3cret@db.example/orders",
    "postgresql://ann@db.example/orders?password=s3cret&sslpassword=s3cret",
    "postgresql://ann:s3cret/with/slashes@db.example/orders",
    "postgresql://ann:s3cret%40@db.example/orders",
    "host=db.example user=ann password=s3cret dbname=orders",
    "host=db.example user=ann password = 's3cret with spaces' dbname=orders",
    r"host=db.example user=ann password='s3cret\' still s3cret' dbname=orders",
    "host=db.example PASSWORD='s3cret",
    "could not parse postgres:/ann:s3cret@db.example/orders in a sentence",
]


@pytest.mark.parametrize("text", SECRETS)
def test_no_password_comes_through(text: str):
    shown = redact(text)
    assert "s3cret" not in shown
    assert "db.example" in shown
    assert redact(shown) == shown


def test_what_stands_behind_a_password_stays():
    assert redact("host=db password=s3cret dbname=x: no such database") == (
        "host=db password=*** dbname=x: no such database"
    )
    with pytest.raises(ConnectionFailed) as caught, translated(redact("host=db password=s3cret")):
        raise OSError("connection to server lost")
    assert redact(str(caught.value)) == "host=db password=***: connection to server lost"


def test_what_holds_no_password_stays_as_it_is():
    for text in (
        "postgresql:///orders?host=/tmp",
        "host=/tmp dbname=orders",
        "a message: at 12:30 user@host said no",
        "",
    ):
        assert redact(text) == text


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ann:s3cret@/orders?host=/nowhere",
        "host=/nowhere password='s3cret' user=ann",
        "postgresql://ann:s3c%zzret@db.example/orders",
        "postgres:/ann:s3cret@db.example",
        "postgresql://ann:s3cret/x@db.example/orders",
    ],
)
def test_a_failed_connection_says_where_without_the_password(dsn: str):
    with pytest.raises(ConnectionFailed, match="cannot connect to") as caught:
        connect(dsn)
    assert "s3c" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["shop", "log.parquet", "/srv/archive", "postgres:/ann:s3cret@db.example"])
def test_what_is_no_dsn_is_told_how_one_is_written(dsn: str):
    with pytest.raises(ConnectionFailed, match=r"no DSN\. Write postgresql://USER@HOST/DATABASE.* by scan_archive\."):
        connect(dsn)


def test_a_dsn_is_a_text():
    with pytest.raises(BadOption, match=r"a DSN is a text, .* not PurePosixPath\."):
        connect(PurePosixPath("/srv/log.parquet"))  # type: ignore[arg-type]  # what is tested


def test_a_wrong_database_and_user_are_named(server: Server):
    with pytest.raises(ConnectionFailed, match='database "no_such" does not exist'):
        connect(server.dsn_of("no_such"))
    with pytest.raises(ConnectionFailed, match="no_such_user"):
        connect(server.dsn_of("postgres", "no_such_user"))


@pytest.mark.parametrize(
    ("sql", "error", "words"),
    [
        ("SELECT * FROM no_such", NoSuchTable, r'relation "no_such" does not exist.*SQLSTATE 42P01'),
        ("SELECT * FROM no_such.t", NoSuchTable, "42P01"),
        ("SELECT 1/0", DatabaseError, "division by zero.*22012"),
        ("SELEC 1", DatabaseError, "syntax error.*42601"),
        ("SELECT pg_sleep(5)", DatabaseError, "statement timeout.*57014"),
        ("SET ROLE plain; SELECT * FROM pg_authid", AccessDenied, "permission denied.*42501"),
    ],
)
def test_each_error_keeps_its_words_and_state(
    database: str, sql: str, error: type[Exception], words: str, make_role: Callable[..., tuple[str, str]]
):
    sql = sql.replace("plain", make_role(database, "plain")[0])
    with connect(database, statement_timeout=0.2) as connection:
        *before, last = sql.split("; ")
        for statement in before:
            connection.execute(statement)
        with pytest.raises(error, match=f"(?s){words}") as caught:
            connection.rows(last)
        assert caught.value.__cause__ is not None
        connection.rollback()


def test_an_error_in_the_middle_of_a_stream(database: str):
    with connect(database) as connection:
        reader = connection.stream(
            "SELECT 1 / (400000 - g) AS x FROM generate_series(1, 500000) AS g", batch_bytes=65536
        )
        with pytest.raises(DatabaseError, match="division by zero") as caught:
            for _ in reader:
                pass
        assert isinstance(caught.value.__cause__, OSError)
        connection.rollback()
        assert connection.rows("SELECT 1 AS one") == [{"one": 1}]


def test_a_server_that_goes_away_in_mid_stream(database: str):
    with connect(database) as connection, connect(database, autocommit=True) as killer:
        pid = connection.rows("SELECT pg_backend_pid() AS pid")[0]["pid"]
        reader = connection.stream(
            "SELECT g, repeat('x', 500) FROM generate_series(1, 2000000) AS g", batch_bytes=65536
        )
        reader.read_next_batch()
        killer.rows(f"SELECT pg_terminate_backend({pid}) AS done")
        with pytest.raises(ConnectionFailed):
            for _ in reader:
                pass
        with pytest.raises(DatabaseError):
            connection.rows("SELECT 1 AS one")
        connection.close()


def test_a_stream_left_early_does_not_hold_up_the_next_statement(database: str):
    with connect(database) as connection:
        reader = connection.stream(
            "SELECT g, repeat('x', 1000) FROM generate_series(1, 3000000) AS g", batch_bytes=65536
        )
        assert reader.read_next_batch().num_rows > 0
        begun = time.perf_counter()
        connection.rollback()
        assert connection.rows("SELECT 1 AS one") == [{"one": 1}]
        assert time.perf_counter() - begun < 2


def test_ctrl_c_is_a_keyboard_interrupt(database: str):
    with connect(database) as connection:
        timer = Timer(0.3, os.kill, (os.getpid(), 2))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            connection.rows("SELECT pg_sleep(20)")
        timer.join()
        connection.rollback()


def test_a_transaction_is_committed_on_a_clean_end_and_rolled_back_on_an_error(database: str):
    with connect(database) as connection:
        connection.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    with pytest.raises(DatabaseError), connect(database) as connection:
        connection.execute("INSERT INTO t SELECT 1 / a - 1 FROM generate_series(1, 0, -1) AS a")
    with connect(database) as connection:
        assert connection.rows("SELECT a FROM t") == [{"a": 1}]


def test_options_reach_the_session(database: str):
    options = {"statement_timeout": 7, "lock_timeout": 3, "read_only": True, "isolation": "repeatable read"}
    with connect(database, application_name="it's me", **options) as connection:
        connection.rollback()
        names = (
            "application_name",
            "statement_timeout",
            "lock_timeout",
            "transaction_read_only",
            "transaction_isolation",
        )
        values = [connection.rows(f"SHOW {name}")[0] for name in names]
        assert [next(iter(value.values())) for value in values] == ["it's me", "7s", "3s", "on", "repeatable read"]
        with pytest.raises(DatabaseError, match="read-only transaction"):
            connection.execute("CREATE TABLE t (a int)")
        connection.rollback()
    with pytest.raises(BadOption):
        connect(database, isolation="chaos")


def test_set_local_lasts_to_the_end_of_the_transaction(database: str):
    with connect(database) as connection:
        connection.set_local("auditlab.p1", "it's; 'quoted'")
        assert connection.rows("SELECT current_setting('auditlab.p1') AS v") == [{"v": "it's; 'quoted'"}]
        connection.commit()
        assert connection.rows("SELECT current_setting('auditlab.p1', true) AS v") == [{"v": ""}]


def test_errors_that_are_none_of_the_drivers_pass_through():
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError
    with pytest.raises(DatabaseError, match="somewhere: odd"), translated("somewhere"):
        raise OSError("odd")


def test_a_server_before_the_oldest_is_refused_with_both_versions_and_a_way_out(
    database: str, version: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("auditlab.connection.OLDEST", version)
    connect(database).close()
    monkeypatch.setattr("auditlab.connection.OLDEST", version + 1)
    told = rf"is PostgreSQL {version}[.\w].*; auditlab needs {version + 1} or newer\. .* log\.csv CSV HEADER"
    with pytest.raises(ServerTooOld, match=told):
        connect(database)
