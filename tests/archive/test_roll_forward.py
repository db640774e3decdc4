"""A checkpoint rolled forward over what came since tells what was so then, as the whole log does."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from checkpointed import add, as_of_any, assert_same, of_entity, pulled
from same_answers import some_of
from soak import SOAK

import auditlab as al
from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.point import Point
from auditlab.errors import ArchiveCorrupt
from auditlab.testing import json_text, make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from same_answers import Verbs

    from auditlab.buckets.near import Near

UUID = "5f0c1e9a-0000-4000-8000-0000000{:05}"
KEYS: dict[str, Callable[[int], str]] = {"uuid": UUID.format, "text": "e{}".format, "number": str}
FIELDS: dict[str, Callable[[int], Any]] = {
    "integer": lambda n: n - 20 if n % 7 else None,
    "large": lambda n: 2**62 + n,
    "beyond": lambda n: 2**70 + n if n == 7 else n,
    "flag": lambda n: n % 3 == 0,
    "text": lambda n: f"text {n % 4}",
    "escaped": lambda n: 'a "quoted" \\ line\n' if n % 5 == 0 else "plain",
    "uuid": lambda n: UUID.format(n % 10),
    "at": lambda n: f"2024-06-{n % 28 + 1:02}T12:00:00.{n % 7}+00:00",
    "day": lambda n: f"2024-06-{n % 28 + 1:02}",
    "mixed": lambda n: n if n % 2 else str(n),
    "nested": lambda n: {"a": [n % 5, None, {"b": "c"}]},
    "never": lambda _: None,
    "other": lambda n: None if n % 3 else UUID.format(n),
}
NUMBERS = ("NaN", "Infinity", "-Infinity")
DECLARED: dict[str, tuple[str, Callable[[int], Any], Callable[[int], Any]]] = {
    "float8": ("float", lambda n: n / 8, lambda n: NUMBERS[n % 3]),
    "exponent": ("float", lambda n: n * 1e300, lambda _: "NaN"),
    "whole": ("float", lambda n: n, lambda n: NUMBERS[n % 2]),
    "inexact": ("float", lambda n: Decimal(n) / 4, lambda n: Decimal(f"{n}.10000000000000000000001")),
    "numeric": ("decimal", lambda n: Decimal(n) / 4, lambda n: NUMBERS[n % 3]),
    "digits": ("decimal", lambda n: 10**29 + n, lambda n: Decimal(f"0.{n + 1:012}")),
    "int8": ("int", lambda n: n, lambda n: 2**62 + n),
    "undigits": ("int", lambda n: 10 ** (n % 18), lambda n: Decimal(f"0.{n + 1:022}")),
    "bool": ("bool", lambda n: n % 2 == 0, lambda n: None if n % 2 else False),
    "date": ("date", lambda n: f"2024-06-{n % 28 + 1:02}", lambda n: ("infinity", "-infinity")[n % 2]),
    "bc": ("date", lambda n: f"2024-06-{n % 28 + 1:02}", lambda n: f"{n + 1:04}-01-01 BC"),
    "timestamp": ("timestamp", lambda n: f"2024-06-01T12:00:{n:02}", lambda _: "infinity"),
    "timestamptz": (
        "timestamptz",
        lambda n: f"2024-06-01T12:00:{n:02}+00:00",
        lambda n: ("infinity", "-infinity")[n % 2],
    ),
    "bytea": ("bytea", lambda n: f"\\x{n:02x}", lambda _: "\\x"),
    "interval": ("interval", lambda n: f"{n} days", lambda _: "00:00:00"),
    "time": ("time", lambda n: f"12:00:{n:02}", lambda _: "24:00:00"),
    "json": ("json", lambda n: {"a": n}, lambda n: ("text", "NaN", None)[n % 3]),
    "array": ("array", lambda n: [n], lambda _: []),
    "key": ("uuid", UUID.format, lambda _: None),
    "words": ("text", lambda n: f"text {n}", lambda n: NUMBERS[n % 3]),
}
"""Kinds as a catalog declares them; values of each, and some that a part of the log may have nothing but."""
WIDER: dict[str, Any] = {"integer": 2**80, "flag": "no", "text": 5, "uuid": "none", "at": "soon", "day": "2024-06-31"}
VERBS: Verbs = {
    "now": lambda log: log.as_of(),
    "of a type": lambda log: log.of("t").as_of(),
    "twice": lambda log: (log.of("t").as_of(), log.of("t").as_of())[1],
    "after another time": lambda log: (log.of("t").as_of(log.facts.coverage.end), log.of("t").as_of())[1],
}


class Made:
    """A log made up: entities come, change and go, one change a transaction."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.key = KEYS[draw.choice(list(KEYS))]
        self.names = draw.sample([*FIELDS, *DECLARED], draw.randint(1, 8))
        self.kinds = {name: DECLARED[name][0] for name in self.names if name in DECLARED and draw.random() < 0.8}
        self.shown: dict[str, float] = {}
        self.holds_key, self.lacks = draw.random() < 0.5, draw.random() < 0.3
        self.live: dict[str, dict[str, Any]] = {}
        self.numbers = count(1)

    def document(self, key: str) -> dict[str, Any]:
        number = self.draw.randint(0, 40)
        own = {name: self.value(name, number) for name in self.names if not self.lacks or self.draw.random() < 0.9}
        return {"id": key, **own} if self.holds_key else own

    def value(self, name: str, number: int) -> Any:  # noqa: ANN401 - JSON
        if name in FIELDS:
            return FIELDS[name](number)
        if self.draw.random() < 0.1:
            return None
        return DECLARED[name][1 if self.draw.random() < self.shown[name] else 2](number)

    def steps(self, many: int, *, most: int) -> Iterator[tuple[Any, ...]]:
        self.shown = {name: self.draw.choice([0, 0.5, 1, 1]) for name in self.names}
        for _ in range(many):
            key = self.draw.choice(list(self.live)) if self.live and self.draw.random() < 0.7 else None
            if key is None:
                key = self.key(self.draw.randint(1, most))
            if key not in self.live:
                self.live[key] = self.document(key)
                yield "INSERT", key, dict(self.live[key])
            elif self.draw.random() < 0.15:
                del self.live[key]
                yield "DELETE", key
            else:
                self.live[key] |= self.document(key)
                yield "UPDATE", key, dict(self.live[key])


def changed(frame: pl.DataFrame, row: int, **columns: Any) -> pl.DataFrame:  # noqa: ANN401 - values of any column
    """The log with other values in one row."""
    rows = frame.to_dicts()
    rows[row] |= columns
    return pl.DataFrame(rows, schema=frame.schema, orient="row")


def _other_before(frame: pl.DataFrame, row: int, draw: random.Random) -> pl.DataFrame:
    document = json.loads(frame["before_snapshot"][row] or "{}")
    names = list(document)
    match draw.randrange(5):
        case 0:
            return changed(frame, row, before_snapshot=json.dumps(document, separators=(",", ":")))
        case 1:
            return changed(frame, row, before_snapshot=json_text({name: document[name] for name in names[::-1]}))
        case 2:
            return changed(frame, row, before_snapshot=None)
        case 3 if names:
            return changed(frame, row, before_snapshot=json_text({name: document[name] for name in names[1:]}))
    return changed(frame, row, before_snapshot=json_text(document | {draw.choice(names or ["a"]): 77}))


def _other_after(frame: pl.DataFrame, row: int, draw: random.Random) -> pl.DataFrame:
    document = json.loads(frame["after_snapshot"][row] or "{}")
    names = list(document)
    text = [
        json_text(document | {"new": 1}),
        json_text({name: document[name] for name in names[::-1]}),
        json.dumps(document, separators=(",", ":")),
        '{"a" :  1}',
        '{"a": 1, "a": 2}',
        json_text(document | {draw.choice(names or ["a"]): "__debezium_unavailable_value"}),
        json_text(document | {name: WIDER[name] for name in names if name in WIDER}),
        None,
    ]
    return changed(frame, row, after_snapshot=draw.choice(text))


def _other_metadata(frame: pl.DataFrame, row: int, draw: random.Random) -> pl.DataFrame:
    other = draw.choice(frame["entity_id"].drop_nulls().to_list())
    told = [
        {"rekeyed_to": other}, {"rekeyed_from": other}, {"partition": "p1", "key": {"a": 1, "b": 2}}, {"by": "ann"},
    ]  # fmt: skip
    return changed(frame, row, metadata=json_text(draw.choice(told)))


def _other_place(frame: pl.DataFrame, row: int, draw: random.Random) -> pl.DataFrame:
    """It stands elsewhere: in another's transaction, or in another order."""
    other = draw.randrange(len(frame) // 3, len(frame))
    match draw.randrange(3):
        case 0:
            return changed(frame, row, transaction_id=frame["transaction_id"][other])
        case 1:
            return changed(frame, row, id=frame["id"][other])
    swapped = changed(frame, row, id=frame["id"][other])
    return changed(swapped, other, id=frame["id"][row])


def _other_kind(frame: pl.DataFrame, row: int, draw: random.Random) -> pl.DataFrame:
    operation = draw.choice(["INSERT", "UPDATE", "DELETE", "SNAPSHOT", "TRUNCATE"])
    if operation == "TRUNCATE":
        return changed(frame, row, operation=operation, entity_id=None, before_snapshot=None, after_snapshot=None)
    images = {"before_snapshot": None} if operation in ("INSERT", "SNAPSHOT") else {}
    images |= {"after_snapshot": None} if operation == "DELETE" else {}
    return changed(frame, row, operation=operation, **images)


def _another_entity(frame: pl.DataFrame, row: int, draw: random.Random) -> pl.DataFrame:
    return changed(frame, row, entity_id=draw.choice(frame["entity_id"].drop_nulls().to_list()))


def _told_twice(frame: pl.DataFrame, row: int, draw: random.Random) -> pl.DataFrame:
    return pl.concat([frame, frame[row]]) if draw.random() < 0.5 else frame.filter(pl.int_range(pl.len()) != row)


ODD = (_other_before, _other_after, _other_metadata, _other_place, _other_kind, _another_entity, _told_twice)


@pytest.fixture
def rolled(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Of each try to roll a checkpoint forward how many changes were left; None where it was given up."""
    tries: list[int | None] = []
    own = Point.rolled_forward

    def counted(*args: Any) -> Near | None:  # noqa: ANN401 - whatever it takes
        found = own(*args)
        tries.append(None if found is None else len(found.rows))
        return found

    monkeypatch.setattr(Point, "rolled_forward", counted)
    return tries


def archived(
    folder: Path,
    frame: pl.DataFrame,
    cuts: list[float],
    *,
    key: str | None = None,
    kinds: dict[str, str] | None = None,
    **told: Any,  # noqa: ANN401 - facts of any kind
) -> None:
    """The log in an archive as several pulls bring it, with a checkpoint after the first."""
    frame = frame.filter(~((pl.col("operation") == "UPDATE") & pl.col("after_snapshot").is_null()))
    keys = {} if key is None else {"t": (key,)}
    facts = replace(al.from_arrow(frame, strict=False).facts, keys=keys, kinds={"t": kinds} if kinds else {}, **told)
    for number, piece in enumerate(pulled(frame, cuts)):
        add(folder, piece, facts)
        if not number:
            checkpoint(folder)


@pytest.mark.parametrize("odd", [None, *ODD], ids=lambda odd: "plain" if odd is None else odd.__name__.strip("_"))
def test_what_is_so_now_is_answered_as_by_the_whole_log(
    tmp_path: Path, odd: Callable[..., pl.DataFrame] | None, rolled: list[int | None]
):
    for seed in range(40 if SOAK else 4):
        draw = random.Random(f"{'plain' if odd is None else odd.__name__} {seed}")  # noqa: S311 - no secret
        made = Made(draw)
        frame = make_log([*made.steps(40, most=25), *made.steps(40, most=35)])
        cuts = [draw.choice([0.45, 0.5]), *(draw.uniform(0.5, 0.9) for _ in range(draw.randint(0, 2)))]
        for _ in range(0 if odd is None else draw.randint(1, 3)):
            frame = odd(frame, draw.randrange(draw.choice([5, 45, 45]), len(frame)), draw)
        other = make_log([("INSERT", "o", {"n": 1}), ("UPDATE", "o", {"n": 2})], entity_type="u")
        other = other.with_columns(pl.col("id", "transaction_id") + pl.Series([0, 75]))
        folder = tmp_path / str(seed)
        archived(folder, pl.concat([frame, other]), cuts, kinds=made.kinds)
        assert_same(folder, VERBS, engine=("polars", "duckdb")[seed % 2])
    if odd is None:
        assert set(rolled) >= {0}
        assert None not in rolled
    assert any(left is not None for left in rolled)


def _with_other_clocks(frame: pl.DataFrame, draw: random.Random) -> pl.DataFrame:
    """Times that run backwards here and there, and perhaps the times of commits."""
    late = pl.Series([draw.choice([0, 0, 0, 5, -5, 30]) for _ in range(len(frame))])
    frame = frame.with_columns(pl.col("changed_at") + pl.duration(seconds=late))
    lag = pl.Series([draw.choice([0, 1, 20, 90]) for _ in range(len(frame))])
    if draw.random() < 0.4:
        frame = frame.with_columns(committed_at=pl.col("changed_at") + pl.duration(seconds=lag))
    if draw.random() < 0.2:
        frame = frame.with_columns(committed_at=pl.when(pl.int_range(pl.len()) % 3 > 0).then("committed_at"))
    return frame


@pytest.mark.parametrize("odd", [None, *ODD], ids=lambda odd: "plain" if odd is None else odd.__name__.strip("_"))
def test_what_was_so_at_any_moment_is_answered_as_by_the_whole_log(
    tmp_path: Path, odd: Callable[..., pl.DataFrame] | None, rolled: list[int | None]
):
    for seed in range(40 if SOAK else 3):
        draw = random.Random(f"{'plain' if odd is None else odd.__name__} at {seed}")  # noqa: S311 - no secret
        made = Made(draw)
        frame = _with_other_clocks(make_log([*made.steps(40, most=25), *made.steps(40, most=35)]), draw)
        for _ in range(0 if odd is None else draw.randint(1, 3)):
            frame = odd(frame, draw.randrange(45, len(frame)), draw)
        first = int(frame["transaction_id"].drop_nulls().min() or 1)  # type: ignore[arg-type]  # a whole number
        told = {
            "visible_within": draw.choice([0.0, 3.0, 20.0, 3600.0]),
            "snapshot": draw.choice([None, f"{first + 1000}:{first + 1000}:"]),
            "marks": tuple(
                al.Mark(at=frame["changed_at"][row], snapshot=f"{first + row - 2}:{first + row}:{first + row - 2}")
                for row in sorted(draw.sample(range(3, len(frame)), 3))
            )
            if draw.random() < 0.4
            else (),
        }
        folder = tmp_path / str(seed)
        archived(folder, frame, [draw.choice([0.45, 0.5]), draw.uniform(0.5, 0.9)], kinds=made.kinds, **told)
        verbs = as_of_any(al.scan_archive(folder), frame)
        for row in draw.sample(range(len(frame) // 2, len(frame)), 4):
            at, id_ = frame["changed_at"][row], frame["id"][row]
            verbs[f"at the time of {id_}"] = lambda log, at=at: log.of("t").as_of(at)
            verbs[f"at that of {id_}, of all"] = lambda log, at=at: log.as_of(at)
            verbs[f"after {id_}"] = lambda log, id_=id_: log.of("t").as_of(id=id_)
            verbs[f"two times after {id_}"] = lambda log, at=at: (log.of("t").as_of(at), log.of("t").as_of())[0]
            snapshot = f"{first + row - 3}:{first + row}:{first + row - 3},{first + row - 1}"
            verbs[f"of a snapshot at {id_}"] = lambda log, seen=snapshot: log.of("t").as_of(snapshot=seen)
        verbs |= of_entity("t", draw.choice(frame["entity_id"].drop_nulls().to_list()), frame["changed_at"][-9])
        assert_same(folder, some_of(verbs, seed, one_in=3), engine=("polars", "duckdb")[seed % 2])
    if odd is None:
        assert rolled.count(0) > len(rolled) / 2


def test_one_entity_is_answered_without_putting_together_what_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rolled: list[int | None]
):
    steps: list[tuple[Any, ...]] = [("INSERT", f"e{number}", {"n": number}) for number in range(40)]
    steps += [("UPDATE", f"e{number}", {"n": -1}) for number in range(20)]
    steps += [("DELETE", "e3"), ("INSERT", "e50", {"n": 50})]
    archived(tmp_path / "archive", make_log(steps), [0.65, 0.8])
    monkeypatch.setattr(Point, "rows_since", None)
    for key in ("e1", "e3", "e30", "e50"):
        verbs = of_entity("t", key, "2024-01-01T00:01:00Z").items()
        assert_same(tmp_path / "archive", {name: verb for name, verb in verbs if not name.startswith("doubtful")})
    assert set(rolled) == {0}


def test_an_id_is_no_value_of_a_field_that_its_image_lacks(tmp_path: Path, rolled: list[int | None]):
    """A field that holds the entity's id has no column of its own: an id beyond its type must not be taken for one."""
    large = str(2**80)
    steps: list[tuple[Any, ...]] = [("INSERT", str(number), {"id": number, "n": 1}) for number in range(40)]
    came = [
        ("UPDATE", "3", {"id": 3, "n": 2}), ("INSERT", large, {"n": 3}), ("INSERT", f"{large}0", {"n": 4}),
        ("DELETE", f"{large}0"), ("INSERT", "50", {"id": 50, "n": 5}),
    ]  # fmt: skip
    archived(tmp_path / "archive", make_log([*steps, *came]), [0.88], key="id")
    assert_same(tmp_path / "archive", VERBS)
    assert rolled[0] == 0
    answer = al.scan_archive(tmp_path / "archive").of("t").as_of().collect()
    assert answer["id"].dtype == pl.Int64
    assert answer.filter(entity_id=large).drop("entity_id").rows() == [(True, None, 3)]


def test_a_change_that_comes_late_is_ended_by_a_truncate_that_stands_behind_it(tmp_path: Path):
    steps: list[tuple[Any, ...]] = [
        ("INSERT", "a", {"n": 1}), ("DELETE", "a"), ("TRUNCATE", {"id": 9}),
        *(("INSERT", f"e{number}", {"n": number}, {"id": number + 10}) for number in range(40)),
        ("INSERT", "late", {"n": 2}, {"id": 7}),
    ]  # fmt: skip
    archived(tmp_path / "archive", make_log(steps), [0.97])
    assert_same(tmp_path / "archive", VERBS)
    assert "late" not in al.scan_archive(tmp_path / "archive").of("t").as_of().collect()["entity_id"]


@pytest.mark.parametrize("forms", [("integer", "text"), ("uuid", "mixed"), ("text", "integer"), ("never", "flag")])
def test_fields_of_other_kinds_in_other_files_are_the_same_fields(
    tmp_path: Path, forms: tuple[str, str], rolled: list[int | None]
):
    """What one file keeps as numbers may be texts in the next: values are compared as the texts that they are."""
    fields = [FIELDS[name] for name in forms]
    steps = [("INSERT", f"e{number}", {"f": fields[0](number + 1), "n": number}) for number in range(40)]
    steps += [("UPDATE", f"e{number}", {"f": fields[0](number + 1), "n": number + 1}) for number in range(0, 20, 2)]
    steps += [("UPDATE", f"e{number}", {"f": fields[1](number + 1), "n": number + 2}) for number in range(20)]
    archived(tmp_path / "archive", make_log(steps), [0.571, 0.714])
    assert_same(tmp_path / "archive", VERBS)
    assert rolled[0] is not None


@pytest.mark.parametrize("other_way", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", list(DECLARED))
def test_what_came_since_may_be_nothing_but_special_values(
    tmp_path: Path, name: str, rolled: list[int | None], *, other_way: bool
):
    kind, *values = DECLARED[name]
    first, then = values[::-1] if other_way else values
    steps = [("INSERT", f"e{number}", {"f": first(number), "n": number}) for number in range(20)]
    came = [("UPDATE", f"e{number}", {"f": then(number), "n": -1}) for number in range(5)]
    came += [("INSERT", f"e{number}", {"f": then(number), "n": number}) for number in range(20, 25)]
    archived(tmp_path / "archive", make_log([*steps, *came]), [0.66, 0.8], kinds={"f": kind, "n": "int"})
    assert_same(tmp_path / "archive", VERBS)
    every = [("UPDATE", f"e{number}", {"f": then(number), "n": -1}) for number in range(20)]
    archived(tmp_path / "none left", make_log([*steps, *every]), [0.49], kinds={"f": kind, "n": "int"})
    assert_same(tmp_path / "none left", {"now": VERBS["now"]})
    assert set(rolled) == {0}


def test_a_changed_byte_in_what_came_since_is_found_before_it_is_used(tmp_path: Path):
    steps = [("INSERT", f"e{number}", {"n": number}) for number in range(40)]
    folder = tmp_path / "archive"
    archived(folder, make_log([*steps, *[("UPDATE", f"e{number}", {"n": 99}) for number in range(20)]]), [0.66])
    log = al.scan_archive(folder)
    newest = max((folder / "data").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(newest.read_bytes())
    content[len(content) // 3] ^= 1
    newest.chmod(0o600)
    newest.write_bytes(content)
    with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
        log.of("t").as_of()
