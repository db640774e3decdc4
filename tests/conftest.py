"""The server that the tests run on, and databases on it: one cluster a session, one database a test."""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import warnings
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditlab.connection import connect
from auditlab.demo.server import Server, find_binaries, start_server
from auditlab.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PUBLISHED = Path(__file__).parent / "capture" / "published.sql"
NEEDED = ("track_commit_timestamp=on", "max_prepared_transactions=10", "autovacuum=off")
"""How a server is set up, whoever starts it: no ANALYZE of its own takes a transaction id while a mark is looked at."""
WRITING = (
    "TimeZone = 'UTC'",
    "DateStyle = 'ISO, MDY'",
    "IntervalStyle = postgres",
    "bytea_output = hex",
    "extra_float_digits = 1",
)
"""How a session writes values, whatever a server that is given is set to: what an application writes is compared."""
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""No test waits for a disk."""
RANDOM_UUIDS = """DO $$ BEGIN
    IF to_regprocedure('gen_random_uuid()') IS NULL THEN CREATE EXTENSION pgcrypto; END IF;
END $$"""
"""The tables of the published log have random keys by default, which PostgreSQL 12 makes by an extension."""
_numbers = count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Processes that share the tests share the cores, too: threads that wait for one another take a fifth more."""
    workers = getattr(config.option, "numprocesses", None)
    if workers:
        os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server: the one that is given, a container, the embedded one; where there is none, the reason."""
    given = os.environ.get("AUDITLAB_TEST_DSN")
    if given:
        yield _fit(Server(given, "PostgreSQL of AUDITLAB_TEST_DSN"))
        return
    contained = _container()
    if contained is not None:
        yield from contained
        return
    try:
        started = start_server(settings=(*NEEDED, *FAST))
    except MissingExtra as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs a PostgreSQL: {exc}")
        pytest.skip(f"no PostgreSQL for the tests: {exc}")
    with started:
        yield started


def _fit(server: Server) -> Server:
    """A server that others set up, if it has the settings that the tests count on."""
    with connect(server.dsn) as connection:
        rows = connection.rows("SELECT name::text AS name, setting::text AS value FROM pg_settings")
    has = {row["name"]: row["value"] for row in rows}
    wanted = [setting.split("=") for setting in NEEDED]
    lacking = [f"{name}={value}" for name, value in wanted if not _reaches(has[name], value)]
    if lacking:
        pytest.fail(f"{server.origin} is not set up for the tests, which need {', '.join(lacking)}")
    return server


def _reaches(value: str, wanted: str) -> bool:
    return int(value) >= int(wanted) if wanted.isdigit() else value == wanted


def _container() -> Iterator[Server] | None:
    """A server in a container, where docker answers; None where it does not."""
    socket = Path("/var/run/docker.sock")
    if os.environ.get("AUDITLAB_PG_BIN") or not (os.environ.get("DOCKER_HOST") or socket.exists()):
        return None
    try:
        from docker.errors import DockerException  # noqa: PLC0415 - optional, and slow to import
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - the same
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # where docker does not answer, it leaves its socket open
        try:
            container = PostgresContainer("postgres:18", driver=None)
            container.with_command(" ".join(["postgres", *(f"-c {setting}" for setting in (*NEEDED, *FAST))]))
        except DockerException:
            gc.collect()
            return None

    def run() -> Iterator[Server]:
        with container as running:
            yield _fit(Server(running.get_connection_url(), "PostgreSQL 18 in a container"))

    return run()


@pytest.fixture(scope="session")
def version(server: Server) -> int:
    """The major version of the test server."""
    with connect(server.dsn) as connection:
        number: int = connection.rows("SELECT current_setting('server_version_num')::integer AS v")[0]["v"]
    return number // 10_000


@pytest.fixture(scope="session")
def program(server: Server) -> Callable[[str], str]:
    """Finds a program of PostgreSQL's: beside the server, among the binaries at hand, on PATH; else skips the test."""
    folders = [] if server.bin is None else [str(server.bin)]
    with suppress(MissingExtra):
        folders.append(str(find_binaries().folder))
    searched = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])

    def find(name: str) -> str:
        found = shutil.which(name, path=searched)
        if found is None:
            pytest.skip(f"{name} is not among the programs at hand")
        return found

    return find


@pytest.fixture(scope="session")
def make_database(server: Server) -> Iterator[Callable[..., str]]:
    """Makes fresh databases on the test server (``make_database(template=None)``), dropped after the session."""
    made: list[str] = []

    def make(template: str | None = None, *, prefix: str = "t") -> str:
        name = f"auditlab_{prefix}_{os.getpid()}_{next(_numbers)}"
        made.append(name)
        dsn = server.create_database(name, template)
        if server.bin is None:
            with connect(server.dsn, autocommit=True) as connection:
                connection.execute("; ".join(f"ALTER DATABASE {name} SET {setting}" for setting in WRITING))
        if template is None:
            with connect(dsn, autocommit=True) as connection:
                connection.execute(RANDOM_UUIDS)
        return dsn

    yield make
    if server.bin is None:  # our own server takes its databases along, and each DROP would cost a checkpoint
        for name in reversed(made):
            server.drop_database(name)


@pytest.fixture
def make_role() -> Iterator[Callable[..., tuple[str, str]]]:
    """Makes login roles of names that no other run has, dropped after the test: the name, and the DSN to come as it."""
    made: list[tuple[str, str]] = []

    def make(dsn: str, name: str, options: str = "") -> tuple[str, str]:
        role, word = f"auditlab_test_{name}_{os.getpid()}", secrets.token_hex(8)
        with connect(dsn, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{word}' {options}")
        made.append((role, dsn))
        if "://" in dsn:
            return role, f"{dsn}{'&' if '?' in dsn else '?'}user={role}&password={word}"
        return role, f"{dsn} user={role} password={word}"

    yield make
    for role, dsn in made:
        with connect(dsn, autocommit=True) as connection:
            connection.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture
def database(make_database: Callable[..., str]) -> str:
    """A fresh empty database's DSN."""
    return make_database()


@pytest.fixture(scope="session")
def captured_template(make_database: Callable[..., str]) -> str:
    """The name of a database with our capture installed."""
    from auditlab.capture.install import install  # noqa: PLC0415 - only the tests that use it need it

    dsn = make_database(prefix="captured")
    install(dsn)
    return _name(dsn)


@pytest.fixture
def captured(make_database: Callable[..., str], captured_template: str) -> str:
    """A fresh database's DSN, our capture installed."""
    return make_database(captured_template)


@pytest.fixture(scope="session")
def published_template(make_database: Callable[..., str]) -> str:
    """The name of a database with the published schema and trigger on orders.orders and orders.order_items."""
    dsn = make_database(prefix="published")
    with connect(dsn) as connection:
        connection.execute(PUBLISHED.read_text(encoding="utf-8"))
    return _name(dsn)


@pytest.fixture
def published(make_database: Callable[..., str], published_template: str) -> str:
    """A fresh database's DSN, with the published schema and trigger on orders.orders and orders.order_items."""
    return make_database(published_template)


def _name(dsn: str) -> str:
    with connect(dsn) as connection:
        name: str = connection.rows("SELECT current_database()::text AS name")[0]["name"]
        return name
