"""Live rows that nothing touched since a checkpoint go from its typed columns to the answer, as documents would."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from checkpointed import add, assert_same

import auditlab as al
from auditlab.archive import shredded
from auditlab.archive.checkpoint import checkpoint
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UUID = "5f0c1e9a-0000-4000-8000-00000000000{}"
FIELDS: dict[str, Callable[[int], Any]] = {
    "integer": lambda n: n - 20,
    "large": lambda n: 2**62 + n if n % 2 else None,
    "beyond": lambda n: 2**70 + n if n == 7 else n,
    "flag": lambda n: n % 3 == 0,
    "text": lambda n: f"text {n % 4}",
    "escaped": lambda n: 'a "quoted" \\ line\n' if n % 5 == 0 else "plain",
    "uuid": lambda n: UUID.format(n % 10),
    "at": lambda n: f"2024-06-{n % 28 + 1:02}T12:00:00.{n % 7}+00:00",
    "local": lambda n: f"2024-06-{n % 28 + 1:02}T12:00:00",
    "day": lambda n: f"2024-06-{n % 28 + 1:02}",
    "mixed": lambda n: n if n % 2 else str(n),
    "nested": lambda n: {"a": [n, None, {"b": "c"}]},
    "never": lambda _: None,
    "key": lambda n: f"e{n}",
}


def document(number: int) -> dict[str, Any]:
    """A row with a field of each kind; some rows lack some."""
    return {name: of(number) for place, (name, of) in enumerate(FIELDS.items()) if (number + place) % 11}


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("since", ["of the same types", "of wider types"])
def test_live_rows_have_the_types_and_values_of_their_documents(
    tmp_path: Path, engine: str, since: str, monkeypatch: pytest.MonkeyPatch
):
    """Also where what came since is of wider types, so that columns of the file become others in the answer."""
    rows = [("INSERT", f"e{number}", document(number)) for number in range(40)]
    wider = {"integer": 2**80, "flag": "no", "text": 5, "uuid": "none", "at": "soon", "day": "2024-06-31", "new": 1}
    came = [
        ("UPDATE", "e3", wider if since == "of wider types" else document(3)),
        ("DELETE", "e4"),
        ("INSERT", "f", document(1)),
    ]
    frame = make_log([*rows, *came])
    other = make_log([("INSERT", "o", {"n": 1})], entity_type="u")
    kinds = {"t": {"local": "timestamp", "integer": "int"}}
    facts = replace(al.from_arrow(frame).facts, kinds=kinds)
    add(tmp_path / "archive", pl.concat([frame[:40], other]), facts)
    checkpoint(tmp_path / "archive")
    add(tmp_path / "archive", frame[40:], facts)
    answered: list[int] = []
    own = shredded.Shredded.states

    def counted(*args: Any, **options: Any) -> pl.DataFrame:  # noqa: ANN401 - whatever it takes
        found = own(*args, **options)
        answered.append(len(found))
        return found

    monkeypatch.setattr(shredded.Shredded, "states", counted)
    verbs = {
        "one type": lambda log: log.of("t").as_of(),
        "several": lambda log: log.as_of(),
        "one entity": lambda log: log.of("t").entity("e9").as_of(id=43),
        "as of an id": lambda log: log.of("t").as_of(id=43),
    }
    assert_same(tmp_path / "archive", verbs, engine=engine)
    assert max(answered) >= 30


def test_numbers_keep_their_places_and_digits(tmp_path: Path):
    """Decimals of several scales stand in a file in one, and in the answer in one that holds all."""
    texts = ["1.10", "-0.05", "12345678901234567.89", "7.125", "0"]
    frame = make_log([("INSERT", f"e{place}", {"n": 0.5}) for place in range(40)])
    numbers = pl.Series([f'{{"n": {texts[place % 2]}}}' for place in range(40)])
    early = frame.with_columns(after_snapshot=numbers)
    late = make_log([("UPDATE", "e1", {"n": 1})]).with_columns(
        id=pl.lit(41, dtype=pl.Int64),
        transaction_id=pl.lit(9_999, dtype=pl.Int64),
        before_snapshot=pl.lit(numbers[1]),
        after_snapshot=pl.lit(f'{{"n": {texts[3]}}}'),
    )
    facts = al.from_arrow(frame).facts
    add(tmp_path / "archive", early, facts)
    checkpoint(tmp_path / "archive")
    add(tmp_path / "archive", late, facts)
    assert_same(tmp_path / "archive", {"now": lambda log: log.of("t").as_of()})
    answer = al.scan_archive(tmp_path / "archive").of("t").as_of().collect()
    assert answer["n"].dtype == pl.Decimal(38, 3)
