"""What the benchmarks keep, and the table and plot that are made of it."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from figures import below, faster, kept, parts_of, record, within
from figures_table import main, plot, replaced, table

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "new" / "results.jsonl"
    monkeypatch.setenv("AUDITLAB_BENCH_RESULTS", str(path))
    record("as of a time", ours={"first": 9.0}, rivals={"pandas": 1.0}, changes=1_000_000)
    record(
        "as of a time",
        ours={"first": 0.75, "further": 0.006},
        rivals={"pandas": 0.19, "SQL | by hand": 0.34},
        goals=[within("first", 1, of="pandas"), faster("further", 20, than="pandas")],
        changes=1_000_000,
        parts={"first": {"documents": 0.754, "the rest": 0.246}, "further": {"the rest": 1.0}},
    )
    record("memory", ours={"archive <1 KB>": 306.0}, goals=[below("archive <1 KB>", 400, "MB")], unit="MB")
    return path


def test_the_last_of_each_thing_that_was_measured_counts(file: Path):
    results, machine = kept(file.read_text().splitlines())
    assert [result.what for result in results] == ["as of a time", "memory"]
    assert results[0].ours == {"first": 0.75, "further": 0.006}
    assert [result.met(goal) for result in results for goal in result.goals] == [False, True, True]
    assert machine["cores"] >= 1
    assert "polars" in machine["packages"]


def test_the_parts_of_a_piece_of_work_are_its_functions_and_the_rest():
    def wait(seconds: float) -> None:
        time.sleep(seconds)

    def other() -> None:
        wait(0.02)

    parts = parts_of(lambda: (wait(0.06), other(), time.sleep(0.02)), {"waiting": [wait], "nothing": [parts_of]})
    assert list(parts) == ["waiting", "nothing", "the rest"]
    assert sum(parts.values()) == pytest.approx(1)
    assert parts["waiting"] > parts["the rest"] > 0 == parts["nothing"]


def test_a_goal_must_name_contestants_that_ran():
    with pytest.raises(KeyError, match="modin"):
        record("x", ours={"a": 1.0}, rivals={"pandas": 1.0}, goals=[faster("a", 2, than="modin")])


def test_each_of_our_figures_has_its_line_with_rivals_ratios_and_goals(file: Path):
    told = table(*kept(file.read_text().splitlines())).splitlines()
    assert told[5] == (
        r"| as of a time, 1,000,000 changes: first | 0.75 s | pandas 0.19 s; SQL \| by hand 0.34 s | 0.3x; 0.5x "
        "| at most 1x the time of pandas: **missed** (documents 75 %, the rest 25 %) |"
    )
    assert told[6].endswith(r"| 0.006 s | pandas 0.19 s; SQL \| by hand 0.34 s | 32x; 57x | at least 20x pandas: met |")
    assert told[7] == "| memory: archive <1 KB> | 306 MB |  |  | at most 400 MB: met |"
    assert "cores" in told[0]


def test_a_ratio_far_below_one_keeps_a_digit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AUDITLAB_BENCH_RESULTS", str(tmp_path / "results"))
    record("x", ours={"slow": 10.0, "fast": 0.5}, rivals={"copy": 0.4, "by hand": 60.0})
    slow, fast = table(*kept((tmp_path / "results").read_text().splitlines())).splitlines()[-2:]
    assert "| 0.04x; 6.0x |" in slow
    assert "| 0.8x; 120x |" in fast


def test_the_plot_shows_each_goal_met_or_missed(file: Path):
    root = ET.fromstring(plot(kept(file.read_text().splitlines())[0]))  # noqa: S314 - our own
    bars = [one.attrib["fill"] for one in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert len(set(bars)) == 2
    assert bars[0] != bars[1] == bars[2]
    assert "memory: archive <1 KB>" in "".join(root.itertext())
    with pytest.raises(ValueError, match="no result has a goal"):
        plot([])


def test_the_table_goes_between_its_markers_and_nowhere_else(file: Path, tmp_path: Path):
    text, picture = tmp_path / "CONTRIBUTING.md", tmp_path / "docs" / "bench.svg"
    whole = CONTRIBUTING.read_text(encoding="utf-8")
    text.write_text(whole, encoding="utf-8")
    main([str(file), "--into", str(text), "--plot", str(picture)])
    told = text.read_text(encoding="utf-8")
    assert replaced(told, "same") == replaced(whole, "same")
    assert f"]({picture})" in told
    assert picture.exists()
    with pytest.raises(ValueError, match="once each"):
        replaced(whole + whole, "")


def test_nothing_is_kept_where_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AUDITLAB_BENCH_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    record("x", ours={"a": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_the_terminal_shows_every_contestant_and_each_goal(capsys: pytest.CaptureFixture[str]):
    record("blame", ours={"ours": 0.5}, rivals={"a loop": 5.0}, goals=[faster("ours", 20, than="a loop")])
    told = capsys.readouterr().out
    assert "10.00 x a loop" in told
    assert "goal for ours: at least 20x a loop: MISSED (10.00 x)" in told
    assert json.dumps(told)
