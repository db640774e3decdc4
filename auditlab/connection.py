"""One connection to PostgreSQL, and the one place where the driver's errors become ours.

Nothing else in auditlab imports ADBC. What the driver does silently (`COPY` only without parameters, a reader that
goes on after it was dropped, errors in mid-stream that are bare ``OSError``) is dealt with here.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from auditlab.errors import (
    AccessDenied,
    AuditlabError,
    BadOption,
    CannotAudit,
    ConnectionFailed,
    DatabaseError,
    IncompleteLog,
    NoSuchTable,
    ServerTooOld,
    UntrackableChanges,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["Connection", "connect", "redact", "translated"]

ISOLATION = ("read committed", "repeatable read", "serializable")
OLDEST = 12
"""The oldest PostgreSQL that auditlab works with: ``pg_partition_tree`` and pinned plans came with it."""
CONNECT_TIMEOUT = 15
"""Seconds to wait for a server that does not answer, where neither the DSN nor PGCONNECT_TIMEOUT says."""
SHORTEST_PART = 3
"""libpq takes a password with a slash in it apart, and may repeat a part; shorter parts are no secret by themselves."""
NO_COPY = {"adbc.postgresql.use_copy": "false"}
"""SHOW, EXPLAIN and a trailing comment do not go through COPY."""
BATCH_BYTES = "adbc.postgresql.batch_size_hint_bytes"
INTERRUPTED = "57014"
NO_TABLE = ("42P01", "3F000")
NO_RIGHTS = ("42501",)
OURS: dict[str | None, type[AuditlabError]] = {
    "AL001": CannotAudit,
    "AL004": IncompleteLog,
    "AL005": UntrackableChanges,
}
"""SQLSTATEs that the functions of ``sql/capture`` raise."""
GONE = ("08", "28", "3D000", "53300", "57P")
"""SQLSTATEs (or their classes) that mean: no connection, or none any more."""
GONE_WORDS = re.compile(
    r"failed to connect|server closed the connection|connection to server|terminating connection|no connection to the"
    r"|connection not open|could not receive data|could not send data|SSL SYSCALL|connection pointer is NULL",
    re.IGNORECASE,
)

_SECRET_KEY = r"(?:password|sslpassword|PGPASSWORD)"  # noqa: S105 - the names of the options, not a secret
_PAIR = re.compile(rf"({_SECRET_KEY})(\s*=\s*)(?!\*\*\*)('(?:[^'\\]|\\.)*(?:'|$)|[^\s&;'\"]+)", re.IGNORECASE)
_USERINFO = re.compile(r"(//[^:/?#\s@]*):[^\s/?#]*@")
_LOOSE = re.compile(r"(//[^:/?#\s@]*):\S*@")
_BARE = re.compile(r"(\b[^\s:@/'\"]+):[^\s:@/'\"]+@")
_WORDS = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(?P<words>.*)", re.DOTALL)
_DRIVER = re.compile(r"^(?:IO: )?(?:\[libpq\] )?(?:Failed to connect: )?")
"""What the driver puts before libpq's words."""
_TAIL = re.compile(r"(?:\n+\s*|\.\s*)(?:Query was:.*|CONTEXT:.*|SQLSTATE: \w+\s*)$", re.DOTALL)


def redact(dsn_or_text: str) -> str:
    """The same text without any password: URL and key=value forms, also in the middle of a message.

    >>> redact("postgresql://ann:s3cret@db.example/orders?sslpassword=x")
    'postgresql://ann:***@db.example/orders?sslpassword=***'
    >>> redact("host=db user=ann password='s3 cret'")
    'host=db user=ann password=***'
    """
    text = _PAIR.sub(r"\1\2***", dsn_or_text)
    for pattern in (_USERINFO, _LOOSE, _BARE):
        text = pattern.sub(r"\1:***@", text)
    return text


@contextmanager
def translated(where: str = "the database", *, secrets: Sequence[str] = ()) -> Iterator[None]:
    """Turn the driver's errors into those of ``auditlab.errors``, keeping their words and SQLSTATE.

    Args:
        where: Where the statement ran, for the message; it must not hold a password.
        secrets: Texts that must not come through in the driver's words.

    Raises:
        ConnectionFailed: no connection, or none any more.
        AccessDenied, NoSuchTable, DatabaseError: what the server answered.
        KeyboardInterrupt: the statement was cancelled by Ctrl-C.
    """
    try:
        yield
    except adbc_driver_manager.Error as exc:
        state = exc.sqlstate
        raise _ours(str(exc), state, where, secrets) from exc
    except (OSError, pa.ArrowException) as exc:  # which of them is told in mid-stream goes by the SQLSTATE
        if isinstance(exc, AuditlabError):
            raise
        found = re.search(r"SQLSTATE:? (\w{5})", str(exc))
        raise _ours(str(exc), found[1] if found else None, where, secrets) from exc


def _ours(message: str, state: str | None, where: str, secrets: Sequence[str]) -> BaseException:
    words = redact(_words(message))
    for secret in secrets:
        words = words.replace(secret, "***")
    told = f"{where}: {words}" + (f" (SQLSTATE {state})" if state else "")
    interrupted = state == INTERRUPTED or (state is None and "canceling statement" in words)
    if interrupted and "timeout" not in words and threading.current_thread() is threading.main_thread():
        return KeyboardInterrupt(told)
    if state in OURS:
        return OURS[state](told)
    if state in NO_RIGHTS:
        return AccessDenied(told)
    if state in NO_TABLE:
        return NoSuchTable(told)
    if (state or "").startswith(GONE) or (state is None and GONE_WORDS.search(message)):
        return ConnectionFailed(told)
    return DatabaseError(told)


def _words(message: str) -> str:
    """The server's own words in a driver's message, without the statement it repeats."""
    found = _WORDS.search(message)
    text = found["words"] if found else _DRIVER.sub("", message, count=1)
    previous = None
    while text != previous:
        previous, text = text, _TAIL.sub("", text).strip()
    return re.sub(r"\n\t", "\n  ", text)


class Connection:
    """One connection, a context manager: commits on a clean end, rolls back on an error, closes.

    Without ``autocommit`` a transaction is always open; ``commit`` and ``rollback`` begin the next.
    ``label`` says where it is connected, without the password.
    """

    def __init__(self, inner: adbc.Connection, label: str, *, autocommit: bool) -> None:
        self.label = label
        self._inner = inner
        self._autocommit = autocommit
        self._streaming: adbc.Cursor | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Connection {self.label}{' (closed)' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if self._autocommit or self._closed:
                return
            if kind is None:
                self.commit()
            else:
                self._quietly_roll_back()
        finally:
            self.close()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement for its effect; without parameters the text may hold several statements.

        Args:
            sql: The text; parameters are ``$1``, ``$2``, ...
            parameters: One value a parameter. Never a naive datetime: PostgreSQL would read it in the session's zone.
        """
        with self._cursor() as cursor, translated(self.label):
            if parameters:
                cursor.execute(sql, list(parameters))
            else:
                cursor.adbc_statement.set_sql_query(sql)
                cursor.adbc_statement.execute_update()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a small result, as Python values; types that Arrow does not know (numeric, ...) as text."""
        with self._cursor(NO_COPY) as cursor, translated(self.label):
            cursor.execute(sql, list(parameters) or None)
            rows: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
            return rows

    def stream(self, sql: str, *, batch_bytes: int | None = None) -> pa.RecordBatchReader:
        """The result of a SELECT as a stream of Arrow batches, never held as a whole.

        Takes no parameters, because the driver buffers the whole result when it has any: set them by ``set_local``
        and read them by ``current_setting``. One stream a connection: whatever comes next ends an unfinished one,
        by cancelling it, which aborts an open transaction: read to the end, or roll back next.

        Args:
            sql: One SELECT.
            batch_bytes: About how large a batch may become.
        """
        cursor = self._open({} if batch_bytes is None else {BATCH_BYTES: str(batch_bytes)})
        with translated(self.label):
            try:
                cursor.execute(sql)
                reader = cursor.fetch_record_batch()
            except BaseException:
                cursor.close()
                raise
        self._streaming = cursor
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(cursor, reader))

    def set_local(self, name: str, value: str) -> None:
        """Set a configuration parameter to the end of the transaction."""
        self.rows("SELECT set_config($1, $2, true)", (name, value))

    def commit(self) -> None:
        """Commit, and begin the next transaction."""
        self._end_stream()
        with translated(self.label):
            self._inner.commit()

    def rollback(self) -> None:
        """Roll back, and begin the next transaction."""
        self._end_stream()
        with translated(self.label):
            self._inner.rollback()

    def cancel(self) -> None:
        """Stop what the connection is doing; may be called from another thread."""
        with translated(self.label):
            self._inner.adbc_cancel()

    def close(self) -> None:
        """Close; what was not committed is rolled back. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        try:
            self._end_stream()
        finally:
            self._inner.close()

    def _batches(self, cursor: adbc.Cursor, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with translated(self.label):
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                yield batch
        if self._streaming is cursor:
            self._streaming = None
        cursor.close()

    def _end_stream(self) -> None:
        """Cancel an unfinished stream: a reader that is merely dropped would be drained by the next statement."""
        if self._streaming is None:
            return
        cursor, self._streaming = self._streaming, None
        try:
            self._inner.adbc_cancel()
            cursor.close()
        except (adbc_driver_manager.Error, OSError):
            return  # the stream had ended, or its connection had: there is nothing left to stop

    def _open(self, options: dict[str, str] | None = None) -> adbc.Cursor:
        self._end_stream()
        with translated(self.label):
            return self._inner.cursor(adbc_stmt_kwargs=options or {})

    @contextmanager
    def _cursor(self, options: dict[str, str] | None = None) -> Iterator[adbc.Cursor]:
        cursor = self._open(options)
        try:
            yield cursor
        finally:
            cursor.close()

    def _quietly_roll_back(self) -> None:
        try:
            self.rollback()
        except (ConnectionFailed, DatabaseError):
            return  # the error that led here is the one to show


_SERVER = """SELECT set_config('client_min_messages', 'warning', false) AS told,
    current_setting('server_version_num')::integer AS number, current_setting('server_version') AS version"""


def connect(
    dsn: str,
    *,
    application_name: str = "auditlab",
    statement_timeout: float | None = None,
    lock_timeout: float | None = None,
    read_only: bool = False,
    isolation: str | None = None,
    autocommit: bool = False,
) -> Connection:
    """A connection to the database that ``dsn`` names.

    Args:
        dsn: A libpq URL (``postgresql://...``) or ``key=value`` text.
        application_name: Shown in ``pg_stat_activity``, unless the DSN sets its own.
        statement_timeout: Seconds until the server gives a statement up; None keeps the server's setting.
        lock_timeout: Seconds to wait for a lock; None keeps the server's setting.
        read_only: Every transaction is READ ONLY.
        isolation: ``"read committed"``, ``"repeatable read"`` or ``"serializable"``; None keeps the server's setting.
        autocommit: Each statement is its own transaction.

    Raises:
        ConnectionFailed: in the server's words, never with a password.
        ServerTooOld: the server is a PostgreSQL before 12.
        BadOption: no such isolation level; the DSN is no text.
    """
    if not isinstance(dsn, str):
        raise BadOption(f"a DSN is a text, such as 'postgresql://ann@db.example/shop', not {type(dsn).__name__}.")
    if isolation is not None and isolation not in ISOLATION:
        raise BadOption(f"no isolation level {isolation!r}. There is {', '.join(ISOLATION)}.")
    label = redact(dsn) or "the default server"
    if dsn and "=" not in dsn and not dsn.startswith(("postgresql://", "postgres://")):
        raise ConnectionFailed(
            f"cannot connect to {label}: that is no DSN. Write postgresql://USER@HOST/DATABASE, or 'host=... "
            "dbname=...'. Files are read by read_parquet, read_csv and read_jsonl, archives by scan_archive."
        )
    with translated(f"cannot connect to {label}", secrets=_secrets(dsn)):
        inner = adbc.connect(_with_defaults(dsn, application_name), autocommit=autocommit)
    connection = Connection(inner, label, autocommit=autocommit)
    settings = {"statement_timeout": _ms(statement_timeout), "lock_timeout": _ms(lock_timeout)}
    settings |= {"default_transaction_isolation": isolation}
    settings |= {"default_transaction_read_only": "on" if read_only else None}
    try:
        _check_age(connection)
        for name, value in settings.items():
            if value is not None:
                connection.rows("SELECT set_config($1, $2, false)", (name, value))
        if not autocommit:
            connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _check_age(connection: Connection) -> None:
    server = connection.rows(_SERVER)[0]
    if server["number"] < OLDEST * 10_000:
        raise ServerTooOld(
            f"{connection.label} is PostgreSQL {server['version']}; auditlab needs {OLDEST} or newer. A log that is "
            "there can be read from a file: psql -c '\\copy (SELECT * FROM audit.entity_change_log) TO log.csv"
            " CSV HEADER', then al.read_csv('log.csv')."
        )


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else str(max(1, round(seconds * 1000)))


def _with_defaults(dsn: str, application_name: str) -> str:
    """The DSN with what it does not say itself: a name for the server's lists, and a limit to waiting."""
    wanted = {"fallback_application_name": application_name}
    if "connect_timeout" not in dsn and "PGCONNECT_TIMEOUT" not in os.environ:
        wanted["connect_timeout"] = str(CONNECT_TIMEOUT)
    if re.match(r"postgres(ql)?://", dsn):
        joiner = "&" if "?" in dsn else "?"
        return dsn + joiner + "&".join(f"{key}={_percent(value)}" for key, value in wanted.items())
    return " ".join([dsn, *(f"{key}={_conninfo(value)}" for key, value in wanted.items())]).strip()


def _percent(value: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "".join(f"%{b:02X}" for b in c.encode()) for c in value)


def _conninfo(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _secrets(dsn: str) -> list[str]:
    """The passwords in a DSN, as written and decoded: libpq may repeat either in an error."""
    found = [match[3].strip("'") for match in _PAIR.finditer(dsn)]
    found += [match[1] for match in re.finditer(r"//[^:/?#\s@]*:(\S*)@", dsn)]
    found += [match[1] for match in re.finditer(r"//[^:/?#\s@]*:([^\s/?#]*)@", dsn)]
    found += [part for one in found for part in re.split(r"[/?#@:]", one) if len(part) >= SHORTEST_PART]
    return sorted({text for one in found for text in (one, unquote(one)) if text}, key=len, reverse=True)
