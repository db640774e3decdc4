"""A checkpoint that goes on from the one before it is the one that the whole log gives."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from checkpointed import KINDS, add, assert_same, pulled
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from soak import generated

import auditlab as al
from auditlab.archive import checkpoint as checkpoints
from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.kept import kept_in
from auditlab.archive.manifest import read_chain
from auditlab.archive.rows import frames
from auditlab.schema import CHANGES
from auditlab.testing import histories, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from auditlab.archive.manifest import Part
    from auditlab.buckets.checkpoint import Kept

TRIED: Counter[str] = Counter()
"""How often a checkpoint was to go on from the one before, and how often it did."""


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count them."""
    own = checkpoints.renewed

    def counted(*args: Any, **options: Any) -> Kept:  # noqa: ANN401 - whatever it takes
        TRIED["tried"] += 1
        found = own(*args, **options)
        TRIED["renewed"] += 1
        return found

    monkeypatch.setattr(checkpoints, "renewed", counted)


def parts(folder: Path) -> dict[str, Part]:
    """The parts of the newest checkpoint, by entity type."""
    newest = [manifest.checkpoint for manifest, _ in read_chain(folder) if manifest.checkpoint]
    return {part.entity_types[0]: part for part in newest[-1].parts} if newest else {}


def assert_alike(folder: Path, other: Path) -> None:
    """The newest checkpoints keep the same rows, and tell the same."""
    one, two = parts(folder), parts(other)
    assert one.keys() == two.keys()
    for name, part in one.items():
        paths = folder / part.path, other / two[name].path
        rows = [pl.concat([pl.DataFrame(schema=CHANGES), *frames(path)]).sort(pl.all()) for path in paths]
        assert_frame_equal(rows[0], rows[1])
        facts = read_chain(folder)[-1][0].facts
        assert kept_in(paths[1]).tells_as(kept_in(paths[0]), facts)


@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_a_checkpoint_that_goes_on_is_the_one_that_the_whole_log_gives(
    place: int, tmp_path_factory: pytest.TempPathFactory
):
    @generated(60, few=1)
    @given(
        histories(max_steps=24, **list(KINDS.values())[place]).filter(lambda frame: len(frame) > 8),
        st.lists(st.floats(0, 1), min_size=1, max_size=3),
    )
    def run(frame: pl.DataFrame, cuts: list[float]) -> None:
        here = tmp_path_factory.mktemp("archives")
        facts = al.from_arrow(frame).facts
        for piece in pulled(frame, cuts):
            add(here / "often", piece, facts)
            often = checkpoint(here / "often")
            add(here / "once", piece, facts)
        once = checkpoint(here / "once")
        assert (often.rows, often.left_out, often.changes) == (once.rows, once.left_out, once.changes)
        if once.number is not None:
            assert_alike(here / "often", here / "once")
        assert al.verify(here / "often") == []
        assert_same(here / "often", {"now": lambda log: log.as_of()})

    before = TRIED["renewed"]
    run()
    if place < 3:  # keys that changed, and values that were not sent, leave many a log to be read as a whole
        assert TRIED["renewed"] > before


def shop(steps: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Forty orders of which nothing more is told, before some steps."""
    return [*(("INSERT", f"o{number}", {"n": number}) for number in range(40)), *steps]


GROWN: dict[str, list[tuple[Any, ...]]] = {
    "one is updated, one deleted": [("UPDATE", "o1", {"n": -1}), ("DELETE", "o2")],
    "one that was gone comes back": [("INSERT", "gone", {"n": 7}), ("UPDATE", "o2", {"n": 3})],
    "one that nobody saw begin": [("UPDATE", "early", {"n": 9}, {"before_snapshot": {"n": 8}})],
    "a new field, and a wider type": [("UPDATE", "o3", {"n": 2**70, "m": "x"}), ("INSERT", "o77", {"m": None})],
    "an image that does not follow": [("UPDATE", "o4", {"n": 5}, {"before_snapshot": {"n": 99}})],
}


@pytest.mark.parametrize("place", range(len(GROWN)), ids=list(GROWN))
def test_what_came_since_is_kept_as_in_the_whole_log(place: int, tmp_path: Path):
    early = shop([("INSERT", "gone", {"n": 1}), ("DELETE", "gone")])
    steps = list(GROWN.values())[place]
    frame = make_log([*early, *steps])
    facts = al.from_arrow(frame).facts
    pieces = frame[: len(early)], frame[len(early) :]
    for piece in pieces:
        add(tmp_path / "often", piece, facts)
        checkpoint(tmp_path / "often")
        add(tmp_path / "once", piece, facts)
    checkpoint(tmp_path / "once")
    before = TRIED["renewed"]
    assert_alike(tmp_path / "often", tmp_path / "once")
    assert TRIED["renewed"] == before
    assert al.verify(tmp_path / "often") == []
    assert_same(tmp_path / "often", {"now": lambda log: log.as_of()})


def test_only_what_came_since_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "archive"
    early = shop([])
    frame = make_log([*early, ("UPDATE", "o1", {"n": -1})])
    items = make_log([("INSERT", "i", {"n": 1})], entity_type="u")
    facts = al.from_arrow(frame).facts
    add(folder, pl.concat([frame[: len(early)], items]), facts)
    first = checkpoint(folder)
    known = parts(folder)
    add(folder, frame[len(early) :], facts)
    monkeypatch.setattr(checkpoints, "_worked_out", _refuse)
    told = checkpoint(folder)
    assert (told.number, told.rows, told.changes) == (4, {"t": 40, "u": 1}, 42)
    assert first.rows == {"t": 40, "u": 1}
    assert parts(folder)["u"] == known["u"]  # nothing came of it: its file is taken over
    assert parts(folder)["t"] != known["t"]
    monkeypatch.undo()
    assert al.verify(folder) == []


def _refuse(*_: object, **__: object) -> Kept:
    raise AssertionError("the whole log was read")


def test_each_type_is_due_by_itself(tmp_path: Path):
    folder = tmp_path / "archive"
    frame = make_log([*shop([]), *(("UPDATE", "o1", {"n": -n}) for n in range(1, 60))])
    items = make_log([("INSERT", f"i{n}", {"n": n}) for n in range(50)], entity_type="u")
    facts = al.from_arrow(frame).facts
    add(folder, pl.concat([frame[:40], items[:20]]), facts)
    assert checkpoint(folder, due=True, after=41).number is None
    assert checkpoint(folder, due=True, after=40).rows == {"t": 40}
    add(folder, pl.concat([frame[40:80], items[20:40]]), facts)
    assert checkpoint(folder, due=True).number is None  # as many came as one has, and as it left out
    add(folder, pl.concat([frame[80:81], items[40:]]), facts)
    told = checkpoint(folder, due=True)
    assert (told.rows, told.since, told.changes) == ({"t": 40, "u": 50}, 71, 131)
    assert al.verify(folder) == []


def test_a_type_that_was_left_out_is_tried_again_when_its_log_has_doubled(tmp_path: Path):
    folder = tmp_path / "archive"
    frame = make_log([("INSERT", "a", {"n": 1}), ("UPDATE", "a", None, {"changed_fields": {"n": 2}})])
    items = make_log([("INSERT", f"i{n}", {"n": n}) for n in range(6)], entity_type="u")
    more = make_log([("INSERT", f"b{n}", {"n": n}) for n in range(3)])
    facts = al.from_arrow(frame).facts
    add(folder, pl.concat([frame, items]), facts)
    assert set(checkpoint(folder, due=True).left_out) == {"t"}
    add(folder, more[:2], facts)
    assert checkpoint(folder, due=True).left_out == {}
    add(folder, more[2:], facts)
    assert set(checkpoint(folder, due=True).left_out) == {"t"}
