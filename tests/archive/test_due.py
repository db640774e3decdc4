"""A checkpoint that is due is written behind what was added; whatever becomes of it, what was added is there."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import auditlab as al
from auditlab.archive import checkpoint as checkpoints
from auditlab.archive.manifest import read_chain
from auditlab.capture.track import track
from auditlab.cli.app import app
from auditlab.connection import connect
from auditlab.testing import make_log

if TYPE_CHECKING:
    from pathlib import Path

    from auditlab.archive.write import ArchiveSummary


def steps() -> pl.DataFrame:
    """Ten orders, and two items."""
    orders = make_log([("INSERT", f"o{number}", {"n": number}) for number in range(10)], entity_type="shop.orders")
    items = make_log([("INSERT", f"i{number}", {"n": number}) for number in range(2)], entity_type="shop.items")
    return pl.concat([orders, items.with_columns(pl.col("id") + 10)])


def kept(folder: Path) -> list[list[str]]:
    """The entity types of each checkpoint."""
    found = (manifest.checkpoint for manifest, _ in read_chain(folder))
    return [[part.entity_types[0] for part in one.parts] for one in found if one is not None]


def test_an_archive_of_a_log_has_a_checkpoint_of_the_types_that_are_large_enough(tmp_path: Path):
    log = al.from_arrow(steps())
    assert checkpoints.AFTER > 12
    assert log.to_archive(tmp_path / "small").checkpoint is None
    assert log.to_archive(tmp_path / "none", checkpoint_after=None).checkpoint is None
    told = log.to_archive(tmp_path / "archive", checkpoint_after=3)
    assert told.checkpoint is not None
    assert told.checkpoint.rows == {"shop.orders": 10}
    assert "10 rows stand for 10 changes" in str(told)
    assert told.as_dict()["checkpoint"]["rows"] == {"shop.orders": 10}
    assert [kept(tmp_path / name) for name in ("small", "none", "archive")] == [[], [], [["shop.orders"]]]
    assert al.verify(tmp_path / "archive") == []


def test_each_pull_writes_the_checkpoint_that_is_due(captured: str, tmp_path: Path):
    folder = tmp_path / "archive"
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE TABLE public.t (id int PRIMARY KEY, v numeric(12,2))")
    track(captured, ["public.t"])

    def pull(work: str) -> ArchiveSummary:
        with connect(captured, autocommit=True) as db:
            db.execute(work)
        return al.archive_postgres(captured, folder, checkpoint_after=20)

    first = pull("INSERT INTO public.t SELECT n, n FROM generate_series(1, 30) AS n")
    assert first.checkpoint is not None
    assert first.checkpoint.number == 2
    assert pull("UPDATE public.t SET v = v + 1 WHERE id <= 25").checkpoint is None  # 25 came, and it has 30
    third = pull("UPDATE public.t SET v = v + 1 WHERE id <= 6")
    assert third.checkpoint is not None
    assert (third.checkpoint.rows, third.checkpoint.since) == ({"public.t": 30}, 31)
    assert al.archive_postgres(captured, folder, checkpoint_after=0).checkpoint is None  # nothing new
    assert al.verify(folder) == []
    live = al.read_postgres(captured).of("public.t").as_of()
    assert_frame_equal(al.scan_archive(folder).of("public.t").as_of().collect(), live)


def test_what_was_added_is_there_though_no_checkpoint_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(checkpoints, "publish_on_top", full)
    told = al.from_arrow(steps()).to_archive(tmp_path / "archive", checkpoint_after=3)
    assert told.checkpoint is None
    assert "no space left" in told.no_checkpoint
    assert f"no checkpoint was written: {told.no_checkpoint}" in str(told)
    assert told.as_dict()["no_checkpoint"] == told.no_checkpoint
    assert al.verify(tmp_path / "archive") == []
    assert len(al.scan_archive(tmp_path / "archive")) == 12
    assert list((tmp_path / "archive" / "checkpoints").iterdir()) == []


def test_one_that_is_killed_while_it_writes_a_checkpoint_leaves_a_whole_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "publish_on_top", killed)
    with pytest.raises(KeyboardInterrupt):
        al.from_arrow(steps()).to_archive(tmp_path / "archive", checkpoint_after=3)
    assert al.verify(tmp_path / "archive") == []
    assert len(al.scan_archive(tmp_path / "archive")) == 12


def test_the_command_writes_those_that_are_due_unless_told_not_to(tmp_path: Path):
    steps().write_parquet(tmp_path / "log.parquet")
    for rows, wanted in ((3, ["shop.orders"]), (0, None)):
        folder = tmp_path / str(rows)
        options = ["archive", str(tmp_path / "log.parquet"), str(folder), "--checkpoint-after", str(rows), "--json"]
        done = CliRunner().invoke(app, options)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)["checkpoint"]
        assert (told and list(told["rows"])) == wanted
