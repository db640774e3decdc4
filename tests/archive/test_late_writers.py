"""Late writers lose nothing to prune, and do to export, DETACH and DROP: promise 15, a hundred rounds in a soak."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from old_log import ROW, fill_months, ids_of, months_of
from soak import SOAK

from auditlab.archive.export import archive_postgres
from auditlab.archive.prune import prune
from auditlab.archive.read import scan_archive
from auditlab.connection import connect
from auditlab.errors import DropRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 100 if SOAK else 3
BY_HAND = (
    "ALTER TABLE audit.entity_change_log DETACH PARTITION audit.entity_change_log_2024_01; "
    "DROP TABLE audit.entity_change_log_2024_01"
)


class Late:
    """Three that write into January, years later; ``written`` are the ids of what they committed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(3)]
        self.written: list[int] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        with connect(self._dsn) as connection:
            turn = 0
            while not self._done.is_set():
                rows = connection.rows(ROW, (10_000 * (number + 1) + turn, "2024-01-15Z", 2))
                time.sleep(0.002 * (1 + (turn + number) % 3))  # the transaction stays open over a step of the pruner
                connection.commit()
                self.written += [row["id"] for row in rows]
                turn += 2


def lost(dsn: str, folder: Path, written: list[int]) -> set[int]:
    """The committed changes that are neither in the log nor in its archive."""
    archived = scan_archive(folder).changes.collect()["id"].to_list()
    return {*range(1, 31), *written} - set(archived) - set(ids_of(dsn))


def test_late_writers_lose_no_row_to_prune_and_do_to_detach_and_drop_by_hand(
    make_database: Callable[..., str], captured_template: str, tmp_path: Path
):
    pruned, lost_by_hand = 0, 0
    for turn in range(ROUNDS):
        dsn, folder = make_database(captured_template), tmp_path / f"ours{turn}"
        fill_months(dsn)
        with Late(dsn) as late:
            for _ in range(4):
                archive_postgres(dsn, folder, progress=False)
                try:
                    prune(dsn, folder, before="2024-02-01", execute=True)
                except DropRefused:
                    continue
                break
        if "2024_01" in months_of(dsn):
            archive_postgres(dsn, folder, progress=False)
            prune(dsn, folder, before="2024-02-01", execute=True)
        pruned += "2024_01" not in months_of(dsn)
        assert lost(dsn, folder, late.written) == set()
        assert len(late.written) > 10

        dsn, folder = make_database(captured_template), tmp_path / f"theirs{turn}"
        fill_months(dsn)
        with Late(dsn) as late, connect(dsn) as by_hand:
            archive_postgres(dsn, folder, progress=False)
            by_hand.execute(BY_HAND)
            by_hand.commit()
        lost_by_hand += len(lost(dsn, folder, late.written))
    assert pruned == ROUNDS
    assert lost_by_hand > 0, "the schedule must be one in which rows can be lost"
