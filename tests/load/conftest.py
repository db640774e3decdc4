"""Logs to load: made by our capture and by the published trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from coming_from import call_of

import auditlab as al
from auditlab.capture.track import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditlab.demo.server import Server

SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), total numeric, note text, placed timestamptz);
CREATE TABLE shop.lines (order_no int, line int, price numeric(20, 2), PRIMARY KEY (order_no, line));
CREATE TABLE shop.users (
    name text PRIMARY KEY, admin boolean, born date, tags text[], raw jsonb, at timestamp, w float8
);
CREATE TABLE shop.events (id int, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE shop.events_eu PARTITION OF shop.events FOR VALUES IN ('eu');
CREATE TABLE shop.events_us PARTITION OF shop.events FOR VALUES IN ('us');
INSERT INTO shop.users VALUES ('zoe', true), ('yan', false);
"""

WORK = """
BEGIN;
SET LOCAL app.current_user_id = '00000000-0000-0000-0000-00000000000a';
INSERT INTO shop.orders (id, total) SELECT md5('o' || n)::uuid, n * 1.10 FROM generate_series(1, 20) AS n;
INSERT INTO shop.lines SELECT n, 1, n FROM generate_series(1, 20) AS n;
COMMIT;
BEGIN;
SET LOCAL app.current_user_id = '00000000-0000-0000-0000-00000000000b';
UPDATE shop.orders SET total = 12345678901234567.89 WHERE id = md5('o1')::uuid;
UPDATE shop.lines SET price = price + 1 WHERE order_no <= 5;
INSERT INTO shop.events VALUES (1, 'eu', 'a'), (2, 'us', 'b');
COMMIT;
BEGIN;
DELETE FROM shop.orders WHERE id = md5('o2')::uuid;
UPDATE shop.events SET note = 'c';
TRUNCATE shop.lines;
INSERT INTO shop.lines VALUES (1, 1, 7);
COMMIT;
"""

PLAIN = """
CREATE SCHEMA audit;
CREATE TABLE audit.entity_change_log (
    id bigserial PRIMARY KEY, entity_type text NOT NULL, entity_id uuid NOT NULL, operation text NOT NULL,
    changed_by uuid, changed_at timestamptz NOT NULL, before_snapshot jsonb, after_snapshot jsonb,
    changed_fields jsonb, metadata jsonb, transaction_id bigint, correlation_id uuid
);
INSERT INTO audit.entity_change_log
    (entity_type, entity_id, operation, changed_at, before_snapshot, after_snapshot, transaction_id)
SELECT 'a.b', md5((n % 600)::text)::uuid, CASE WHEN n < 600 THEN 'INSERT' ELSE 'UPDATE' END,
       timestamptz '2024-01-01 00:00+00' + n * interval '1 minute',
       CASE WHEN n >= 600 THEN jsonb_build_object('n', n - 600, 'pad', repeat('x', 2000)) END,
       jsonb_build_object('n', n, 'pad', repeat('x', 2000)), 1000 + n / 3
FROM generate_series(0, 5999) AS n
"""


def run(dsn: str, script: str) -> None:
    """Run statements, each its own transaction unless the script says BEGIN."""
    with connect(dsn, autocommit=True) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement)


def name_of(dsn: str) -> str:
    """The name of the database."""
    with connect(dsn) as connection:
        name: str = connection.rows("SELECT current_database()::text AS name")[0]["name"]
        return name


@pytest.fixture(scope="session")
def shop_template(make_database: Callable[..., str], captured_template: str) -> str:
    """The name of a database in which our capture has recorded all operations over several kinds of keys."""
    dsn = make_database(captured_template, prefix="shop")
    run(dsn, SHOP)
    track(dsn, ["shop.orders", "shop.lines", "shop.users", "shop.events"])
    run(dsn, WORK)
    return name_of(dsn)


@pytest.fixture(scope="session")
def plain_template(make_database: Callable[..., str]) -> str:
    """The name of a database with a log of 6,000 changes in one plain table without any trigger, 600 entities."""
    dsn = make_database(prefix="plain")
    run(dsn, PLAIN)
    return name_of(dsn)


@pytest.fixture
def shop(server: Server, make_database: Callable[..., str], shop_template: str) -> Iterator[str]:
    """A fresh database's DSN, with our capture's log of all operations over several kinds of keys."""
    dsn = make_database(shop_template)
    yield dsn
    server.drop_database(name_of(dsn))


@pytest.fixture
def plain_log(server: Server, make_database: Callable[..., str], plain_template: str) -> Iterator[str]:
    """A fresh database's DSN, with a log of 6,000 changes of 600 entities in one plain table."""
    dsn = make_database(plain_template)
    yield dsn
    server.drop_database(name_of(dsn))


@pytest.fixture
def execute() -> Callable[[str, str], None]:
    """Runs statements on a database, each its own transaction unless the script says BEGIN."""
    return run


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], Any]:
    """The log that the README's call for a tool makes of a file of that name and text."""

    def loaded(tool: str, name: str, text: str) -> Any:  # noqa: ANN401
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return eval(call_of(tool), {"al": al})  # noqa: S307 - our own README

    return loaded


@pytest.fixture
def ask(make_database: Callable[..., str]) -> Callable[[str, str], Any]:
    """The log that the README's call makes of a database, which a script fills."""

    def asked(tool: str, script: str) -> Any:  # noqa: ANN401
        dsn = make_database(prefix="theirs")
        with connect(dsn) as connection:
            connection.execute(script)
        return eval(call_of(tool), {"al": al, "dsn": dsn})  # noqa: S307 - our own README

    return asked
