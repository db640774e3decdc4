"""What a log says of the changes that were dropped from it: which it has no more, and where to ask for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
from old_log import fill_months, months_of

from auditlab.archive.export import archive_postgres
from auditlab.archive.holds import hold
from auditlab.archive.prune import prune
from auditlab.changelog import reconcile
from auditlab.connection import connect
from auditlab.errors import (
    IncompleteInterval,
    IncompleteLog,
    IncompletePopulation,
    NoData,
    UnknownEntity,
    UnknownEntityType,
)
from auditlab.sources import read_postgres, scan, scan_archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNTRY = """
INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, changed_at, after_snapshot, transaction_id)
VALUES ('ref.countries', md5('it')::uuid, 'INSERT', '2024-01-05Z', '{"name": "Italy"}',
        txid_current()) RETURNING id
"""
LATE = """
INSERT INTO audit.entity_change_log
    (entity_type, entity_id, operation, changed_at, before_snapshot, after_snapshot, changed_fields, transaction_id)
VALUES ('shop.orders', md5('1')::uuid, 'UPDATE', $1::text::timestamptz, jsonb_build_object('n', $2::bigint),
        jsonb_build_object('n', $2::bigint + 1), jsonb_build_object('n', $2::bigint + 1),
        txid_current())
RETURNING id
"""
"""At the time $1 an order goes from the number $2 to the next."""

ITALY = "5a0f4feb-1c43-d9f6-6a75-7cb0a0b0b0d0"
DROPPED = (
    r"1 partition, up to 2024-02-01 00:00 UTC, was dropped from it \(auditlab prune\), and with it all changes of "
    r"ref\.countries\. Ask it together with the archive that has them: al\.scan\(dsn, archive\)"
)
OPTIONS = {"clock": "changed_at", "visible_within": 0}


@pytest.fixture
def log(captured: str, tmp_path: Path) -> str:
    """A log from which January was dropped: ten orders, and the only change of a country; ``tmp_path / "a"`` has it."""
    with connect(captured, autocommit=True) as db:
        db.rows(COUNTRY)
    fill_months(captured)
    with connect(captured, autocommit=True) as db:
        db.rows(LATE, ("2024-03-20Z", 1))
    archive_postgres(captured, tmp_path / "a")
    prune(captured, tmp_path / "a", before="2024-02-01", execute=True)
    assert months_of(captured) == ["2024_02", "2024_03"]
    return captured


def warned_of(ask: Callable[[], object]) -> list[str]:
    """What an answer warns of as to the rows that it lacks."""
    with pytest.warns(IncompletePopulation) as told:
        ask()
    return [str(one.message) for one in told]


def test_a_prune_records_how_many_changes_of_which_type_went(log: str):
    with connect(log) as db:
        rows = db.rows("SELECT entity_types::text AS types FROM audit.entity_change_log_pruned")
    assert [row["types"] for row in rows] == ['{"shop.orders": 10, "ref.countries": 1}']


def test_a_record_of_an_earlier_auditlab_is_read_and_added_to(log: str, tmp_path: Path):
    with connect(log, autocommit=True) as db:
        db.execute("ALTER TABLE audit.entity_change_log_pruned DROP COLUMN entity_types")
    told = r"was dropped from it \(auditlab prune\)\. Ask it together"
    with pytest.raises(UnknownEntityType, match=told):
        read_postgres(log, **OPTIONS).of("ref.countries")
    with pytest.raises(UnknownEntityType, match=told):
        read_postgres(log, entity_types="ref.countries")
    prune(log, tmp_path / "a", before="2024-03-01", execute=True)
    with connect(log) as db:
        rows = db.rows("SELECT entity_types::text AS types FROM audit.entity_change_log_pruned ORDER BY partition")
    assert [row["types"] for row in rows] == [None, '{"shop.orders": 10}']
    assert read_postgres(log, **OPTIONS).entity_types == ("shop.orders",)


def test_an_entity_type_all_of_whose_changes_were_dropped_is_named(log: str):
    after = read_postgres(log, **OPTIONS)
    assert re.fullmatch(DROPPED, after.facts.coverage.why)
    assert re.search(rf"before +{DROPPED}", repr(after))
    for ask in (
        lambda: after.of("ref.countries"),
        lambda: read_postgres(log, entity_types="ref.countries"),
        lambda: reconcile(None, log, entity_types="ref.countries", progress=False),
    ):
        with pytest.raises(UnknownEntityType, match=rf"It has 'shop\.orders'\. {DROPPED}\."):
            ask()
    assert re.search(rf"was ever seen among 'shop\.orders'.*{DROPPED}\.$", after.why_not("it"))
    with pytest.raises(UnknownEntity, match=DROPPED):
        after.entity("it")
    with pytest.raises(UnknownEntity, match="al.scan"):
        read_postgres(log, entity=ITALY)
    assert after.evidence().rows("dropped changes")["note"].to_list() == [after.facts.coverage.why]


def test_a_state_of_all_types_warns_of_those_that_the_log_has_no_change_of_any_more(log: str, tmp_path: Path):
    after = read_postgres(log, **OPTIONS)
    after.to_archive(tmp_path / "b", checkpoint_after=None)
    small = scan_archive(tmp_path / "b", memory="30kB")
    for whole in (after, scan_archive(tmp_path / "b"), small):
        for ask in (whole.as_of, whole.blame, whole.replay):
            first, second = warned_of(ask)
            assert first.startswith("rows of shop.orders (1 of them were changed later) were there before")
            assert re.fullmatch(rf"of ref\.countries this log has no change any more, .* {DROPPED}\.", second)
        assert len(warned_of(whole.of("shop.orders").as_of)) == 1
    only = {"entity_types": "shop.orders"}
    for narrowed in (read_postgres(log, **only, **OPTIONS), scan_archive(tmp_path / "b", **only)):
        assert len(warned_of(narrowed.as_of)) == 1
    assert scan(log, tmp_path / "a", **OPTIONS).as_of().collect()["entity_type"].n_unique() == 2


def test_an_answer_about_changes_of_all_types_warns_of_those_that_the_log_has_no_change_of_any_more(
    log: str, tmp_path: Path
):
    after = read_postgres(log, **OPTIONS)
    after.to_archive(tmp_path / "b", checkpoint_after=None)
    small = scan_archive(tmp_path / "b", memory="30kB")
    for whole in (after, scan_archive(tmp_path / "b"), small):
        asks = (whole.diffs, whole.timeline, whole.key_changes, whole.summary, whole.activity)
        for ask in (*asks, whole.drift, whole.by(None).diffs, partial(whole.diffs, paths=True)):
            (only,) = warned_of(ask)
            assert re.fullmatch(rf"of ref\.countries this log has no change any more, .* changes .* {DROPPED}\.", only)
        assert re.match(r"of ref\.countries .* rows is in this", *warned_of(whole.history))
        for ask in (whole.of("shop.orders").diffs, whole.of("shop.orders").history, whole.evidence):
            ask()  # a warning would be an error
        later = whole.between("2024-02-01", "2024-03-01")
        later.diffs()
        assert later.summary().by_type["entity_type"].to_list() == ["shop.orders"]
        first, last = whole.facts.coverage.start, whole.facts.coverage.end
        whole.compare(first, last)  # what has no change does not differ
        whole.changes()  # what is recorded is no answer about what is not
    part = read_postgres(log, **OPTIONS, start="2024-02-01")
    assert not part.diffs().is_empty()
    assert warned_of(part.history)


def test_a_load_that_ends_in_what_was_dropped_is_an_error_and_one_that_begins_in_it_warns(log: str):
    for options in ({"end": "2024-02-01"}, {"start": "2024-01-10", "end": "2024-01-20"}, {"end": "2024-01-02"}):
        for baseline in (True, False):
            with pytest.raises(
                NoData, match=r"has no change from before 2024-.* any more: 1 partition, up to 2024-02-01"
            ):
                read_postgres(log, **OPTIONS, **options, baseline=baseline)
    for baseline in (True, False):
        with pytest.warns(
            IncompleteInterval, match=r"from 2024-01-10 .* before 2024-02-01 .* not all in the log: 1 part"
        ):
            part = read_postgres(log, start="2024-01-10", end="2024-03-01", baseline=baseline)
        assert len(part.changes()) == 10
    assert len(read_postgres(log, start="2024-02-01", end="2024-03-01").changes()) == 10  # a warning would be an error


def test_a_log_of_which_all_was_dropped_says_so(log: str, tmp_path: Path):
    prune(log, tmp_path / "a", before="2024-04-01", execute=True)
    empty = read_postgres(log, **OPTIONS)
    assert "no changes (3 partitions, up to 2024-04-01 00:00 UTC, were dropped" in repr(empty)
    with pytest.raises(
        NoData, match=r"the log holds no change; asked for 2024-02-01 00:00:00 UTC\. 3 partitions, up to"
    ):
        empty.as_of("2024-02-01")
    with pytest.warns(IncompletePopulation, match=r"^of ref\.countries, shop\.orders this log has no change any more"):
        assert empty.as_of().is_empty()
    with pytest.warns(IncompleteInterval, match="only from 2024-04-01"):
        assert empty.between("2024-01-01", "2024-05-01").diffs().is_empty()
    with pytest.raises(UnknownEntityType, match="with them all changes of ref.countries, shop.orders"):
        empty.of("shop.orders")


def test_an_interval_of_what_was_dropped_is_an_error_and_one_that_begins_in_it_warns(log: str, tmp_path: Path):
    after = read_postgres(log, **OPTIONS)
    with pytest.raises(NoData, match=rf"asked for changes from 2024-01-01 .* up to 2024-02-01 .*\. {DROPPED}"):
        after.between("2024-01-01", "2024-02-01")
    with pytest.raises(NoData, match=DROPPED):
        after.report(include=["diffs"], start="2024-01-01", end="2024-02-01")
    with pytest.warns(
        IncompleteInterval, match=rf"has all changes only from 2024-02-01 00:00:00\+00:00 on\. {DROPPED}"
    ):
        assert len(after.between("2024-01-01", "2024-03-01")) == 10
    assert "has all changes only from 2024-02-01" in after.report(include=["diffs"], start="2024-01-15")
    assert len(after.between("2024-02-01", "2024-03-01")) == 10  # all of them are there, a warning would be an error
    assert len(scan(log, tmp_path / "a", **OPTIONS).between("2024-01-01", "2024-02-01").changes().collect()) == 11


def test_a_load_of_picked_changes_accuses_nobody(log: str, tmp_path: Path):
    assert {"unlogged change"}.isdisjoint(read_postgres(log, **OPTIONS).evidence().findings["kind"])
    picked = read_postgres(log, **OPTIONS, user="2f7a4c1b-0000-0000-0000-000000000000")
    parts = read_postgres(log, **OPTIONS, partitions="entity_change_log_2024_03")
    parts.to_archive(tmp_path / "b")
    kept = [scan_archive(tmp_path / "b"), scan_archive(tmp_path / "b", memory="1kB")]
    assert all(one.facts.coverage == parts.facts.coverage for one in kept)
    assert (parts.facts.coverage.cut, parts.facts.coverage.gaps) == (datetime(2024, 2, 1, tzinfo=UTC), True)
    assert not any("with it all changes" in one.facts.coverage.why for one in (picked, parts))
    for loaded in (picked, parts, *kept):
        for verb in ("evidence", "drift"):
            with pytest.raises(IncompleteLog, match=rf"{verb}\(\) needs whole histories, .*: loaded f(or|rom) "):
                getattr(loaded, verb)()


def test_where_a_hold_kept_what_was_before_no_chain_is_judged_over_what_was_dropped(captured: str, tmp_path: Path):
    fill_months(captured)
    with connect(captured, autocommit=True) as db:
        for number, at in enumerate(("2024-02-20Z", "2024-03-20Z"), start=1):
            db.rows(LATE, (at, number))
    archive_postgres(captured, tmp_path / "a")
    hold(tmp_path / "a", "january", entity_type="shop.orders", end="2024-02-01")
    prune(captured, tmp_path / "a", before="2024-03-01", execute=True)
    assert months_of(captured) == ["2024_01", "2024_03"]
    with pytest.raises(
        IncompleteLog, match=r"evidence\(\) needs .* changes from before are still there, and 1 partition"
    ):
        read_postgres(captured, **OPTIONS).evidence()
    assert len(read_postgres(captured, **OPTIONS, end="2024-02-01").changes()) == 10
