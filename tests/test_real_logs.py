"""Real logs against the truth that was recorded beside them: every row, every column, on both engines."""

from __future__ import annotations

import csv
import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.errors import IncompletePopulation
from auditlab.testing import Oracle, State, assert_states, canonical, json_text, read_document
from auditlab.testing.equality import Exact

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = Path(__file__).parent / "data"
OUTSIDE = "AUDITLAB_TEST_DATA"
SNAPSHOTS = (0, 27, 54, 81, 107, 134, 161, 188)
YAML_READS = (0, 47, 133, 185, 240, 283, 316)


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def outside(folder: str) -> Path:
    """A folder of the data that lies outside the project: unset, the test skips; set and not there, it fails."""
    given = os.environ.get(OUTSIDE)
    if not given:
        pytest.skip(f"{OUTSIDE} is not set: {folder} cannot be compared with its truth")
    path = Path(given) / folder
    if not path.is_dir():
        pytest.fail(f"{OUTSIDE} is {given!r}, which has no folder {folder!r}")
    return path


@cache
def read(path: Path, engine: str) -> al.ChangeLog:
    """The log of a file, read once: its verbs are asked again and again."""
    return al.read_parquet(path).on(engine)


def truths(frame: pl.DataFrame) -> dict[str, dict[str, State]]:
    """The states that a truth file holds: by entity type and entity id."""
    found: dict[str, dict[str, State]] = {}
    for row in frame.to_dicts():
        found.setdefault(row["entity_type"], {})[row["entity_id"]] = read_document(row["state"])
    return found


def assert_all(log: al.ChangeLog, truth: Mapping[str, Mapping[str, State]], **moment: object) -> None:
    """The log's state at that moment is the truth: typed columns type by type, and documents over all types."""
    for entity_type in log.entity_types:
        assert_states(log.of(entity_type).as_of(**moment), truth.get(entity_type, {}))
    rows = log.as_of(**moment).to_dicts()
    assert [(row["entity_type"], row["entity_id"]) for row in rows] == sorted(
        (entity_type, entity_id) for entity_type, states in truth.items() for entity_id in states
    )
    for row in rows:
        assert read_document(row["state"]) == truth[row["entity_type"]][row["entity_id"]]


def sp500_file(folder: Path, transaction: int) -> dict[str, State]:
    """The index as the file of that commit lists it; a field past the header (an unquoted comma) is no field."""
    (path,) = folder.glob(f"snapshots/{transaction:04}_*.csv")
    with path.open(newline="", encoding="utf-8") as lines:
        rows = [{name: cell for name, cell in row.items() if name is not None} for row in csv.DictReader(lines)]
    return {
        row["Symbol"]: {name: Exact(json_text(cell), canonical(cell)) for name, cell in row.items()} for row in rows
    }


@pytest.mark.parametrize("transaction", SNAPSHOTS)
def test_sp500_after_a_commit_is_the_file_of_that_commit(engine: str, transaction: int):
    folder = outside("sp500")
    log = read(folder / "log.parquet", engine)
    assert_states(log.as_of(transaction=transaction), sp500_file(folder, transaction))


SP500_NAMES = {"Name": "Security", "Company": "Security", "Sector": "GICS Sector"}


@pytest.mark.parametrize("transaction", SNAPSHOTS)
def test_sp500_under_its_last_header_is_the_file_of_each_commit(engine: str, transaction: int):
    folder = outside("sp500")
    log = read(folder / "log.parquet", engine).renamed(SP500_NAMES)
    truth = {
        symbol: {SP500_NAMES.get(name, name): value for name, value in state.items()}
        for symbol, state in sp500_file(folder, transaction).items()
    }
    shown = log.as_of(transaction=transaction)
    assert not {"Name", "Company", "Sector"} & set(shown.columns)
    assert_states(shown, truth)


def sp500_settings(rows: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """By symbol and field of the last header: the change that last set it, followed by hand through all headers."""
    states: dict[str, dict[str, str]] = {}
    setting: dict[tuple[str, str], int] = {}
    for row in rows:
        old = states.pop(row["entity_id"], {})
        if row["operation"] == "DELETE":
            continue
        recorded = json.loads(row["after_snapshot"])
        new = states[row["entity_id"]] = {SP500_NAMES.get(name, name): value for name, value in recorded.items()}
        for name, value in new.items():
            if old.get(name) != value or row["operation"] == "INSERT":
                setting[row["entity_id"], name] = row["id"]
    return {key: change for key, change in setting.items() if key[0] in states and key[1] in states[key[0]]}


def test_sp500_diffs_and_blame_go_through_its_three_headers(engine: str):
    log = read(outside("sp500") / "log.parquet", engine)
    renamed = log.renamed(SP500_NAMES)
    assert renamed.diffs().filter(pl.col("transaction_id").is_in([150, 151])).is_empty()
    assert not log.diffs().filter(pl.col("transaction_id").is_in([150, 151])).is_empty()
    settings = sp500_settings(log.changes().to_dicts())
    blame = renamed.blame().select("entity_id", "field", "id").rows()
    assert {(symbol, field): change for symbol, field, change in blame} == settings
    early = sum(change < 2799 for (_, field), change in settings.items() if field == "Security")
    assert early > 200  # set before the first header was left, and not since
    assert log.blame().filter((pl.col("field") == "Security") & (pl.col("id") < 2799)).is_empty()


def test_sp500_is_read_the_same_through_upcasters(engine: str):
    log = read(outside("sp500") / "log.parquet", engine)
    by_hand = al.Upcasters(
        pl.when(pl.col("transaction_id") < 63).then(1).when(pl.col("transaction_id") == 150).then(2).otherwise(3)
    )
    by_hand.register(
        "constituent",
        1,
        {"Security": pl.col("Name"), "GICS Sector": pl.col("Sector"), "Name": None, "Sector": None},
        to=3,
    )
    by_hand.register("constituent", 2, lambda row: {"Security": row.pop("Company"), **row})
    upcast, renamed = log.upcast(by_hand), log.renamed(SP500_NAMES)
    order = ["entity_id", "version"]
    fields = renamed.history().columns
    assert_frame_equal(upcast.history().select(fields).sort(order), renamed.history().sort(order))
    key = ["id", "entity_id", "field"]
    assert_frame_equal(upcast.diffs().sort(key), renamed.diffs().sort(key))


@pytest.mark.parametrize("transaction", YAML_READS)
def test_legislators_after_a_commit_are_the_file_read_afresh(engine: str, transaction: int):
    folder = outside("legislators_social")
    log = read(folder / "log.parquet", engine)
    truth = pl.read_parquet(folder / "asof.parquet").filter(pl.col("transaction_id") == transaction)
    assert truth.height
    states = {row["entity_id"]: read_document(row["state"]) for row in truth.to_dicts()}
    assert_states(log.as_of(transaction=transaction), states)


def test_the_truth_files_are_the_ones_that_these_tests_name():
    shop = pl.read_parquet(OURS / "shop" / "checkpoints.parquet")
    assert shop["label"].n_unique() == 15
    assert pl.read_parquet(OURS / "pgbench" / "asof_periods.parquet")["at"].n_unique() == 41
    if os.environ.get(OUTSIDE):
        files = outside("sp500").glob("snapshots/*.csv")
        assert sorted(int(path.name[:4]) for path in files) == list(SNAPSHOTS)
        reads = pl.read_parquet(outside("legislators_social") / "asof.parquet")["transaction_id"]
        assert sorted(reads.unique().to_list()) == list(YAML_READS)


def test_shop_at_each_of_15_checkpoints_is_the_tables_at_that_moment(engine: str):
    log = read(OURS / "shop" / "log.parquet", engine)
    checkpoints = pl.read_parquet(OURS / "shop" / "checkpoints.parquet").partition_by("label", maintain_order=True)
    assert len(checkpoints) == 15
    for checkpoint in checkpoints:
        assert_all(log, truths(checkpoint), id=checkpoint["last_log_id"][0])


def test_shop_at_the_end_is_the_final_tables(engine: str):
    log = read(OURS / "shop" / "log.parquet", engine)
    assert_all(log, truths(pl.read_parquet(OURS / "shop" / "final_tables.parquet")))


def test_pgbench_at_the_end_is_its_tables_however_its_clients_interleaved(engine: str):
    log = read(OURS / "pgbench" / "log.parquet", engine)
    with pytest.warns(IncompletePopulation, match="public.pgbench_"):  # its trigger came after its rows
        assert_all(log, truths(pl.read_parquet(OURS / "pgbench" / "final_rows_of_logged_entities.parquet")))


def test_pgbench_ledger_at_each_of_41_moments_is_what_periods_answered(engine: str):
    ledger = read(OURS / "pgbench" / "log.parquet", engine).of("public.ledger")
    moments = pl.read_parquet(OURS / "pgbench" / "asof_periods.parquet").partition_by("at", maintain_order=True)
    assert len(moments) == 41
    for moment in moments:
        states = {row["entity_id"]: read_document(row["state"]) for row in moment.to_dicts()}
        assert_states(ledger.as_of(moment["at"][0]), states)


@pytest.mark.parametrize("folder", ["shop", "pgbench"])
def test_the_oracle_itself_ends_where_the_tables_do(folder: str):
    (truth,) = (OURS / folder).glob("final_*.parquet")
    oracle = Oracle(pl.read_parquet(OURS / folder / "log.parquet").to_dicts())
    states = truths(pl.read_parquet(truth))
    assert oracle.as_of() == {(each, key): state for each, found in states.items() for key, state in found.items()}
