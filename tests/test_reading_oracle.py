"""Renames and upcasters against the oracle, on both engines, over generated histories: every verb, whole frames."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import test_oracle
from hypothesis import given
from hypothesis import strategies as st
from same_answers import of_changes
from test_oracle import ENGINES, KINDS, VERBS, profile

import auditlab as al
from auditlab.errors import ReadingError, UnknownField, UpcastError
from auditlab.testing import Exact, Oracle, State, histories
from auditlab.testing.hostile import NAMES
from auditlab.testing.reading import BothNames, NoPath, by_document, one_after_another, renaming, upcasting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditlab.testing.reading import Reading

pytestmark = [
    pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation"),  # histories begin anywhere
    pytest.mark.filterwarnings("ignore::auditlab.errors.UnlinkedKeys"),  # rows of before may be equal but for their key
    pytest.mark.filterwarnings("ignore::auditlab.errors.UndeterminedState"),  # so are some that have no image
]

DEFAULT = 1
CURRENT = 3
LISTED = ("images", "all", "some", "after")
"""Histories in which changed fields stand for images that are missing."""
AGREED = [kind for kind in KINDS if kind != "with commit times"]


def agree(
    data: st.DataObject,
    frame: pl.DataFrame,
    log: al.ChangeLog,
    reading: Reading | None,
    partial: Reading | None = None,
) -> None:
    """Some verbs of the reading of a log say what the oracle of the same reading says."""
    oracle = Oracle(frame.to_dicts(), reading=reading, partial=partial)

    def questions(_: pl.DataFrame) -> Iterator[tuple[al.ChangeLog, Oracle]]:
        for engine in ENGINES:
            yield log.on(engine), oracle

    verbs = data.draw(st.lists(st.sampled_from(list(VERBS)), min_size=3, max_size=3, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_oracle, "questions", questions)
        for verb in verbs:
            verb(frame)


def drawn_type(data: st.DataObject, frame: pl.DataFrame) -> tuple[str, list[str]]:
    """An entity type that has fields, and those; or no field."""
    fields = {name: sorted(held) for name, held in Oracle(frame.to_dicts()).fields().items() if held}
    entity_type = data.draw(st.sampled_from(sorted(fields) or [frame["entity_type"][0]]))
    return entity_type, fields.get(entity_type, [])


def test_renamed_histories():
    told: dict[str, int] = dict.fromkeys(("agreed", "both names", "unknown"), 0)

    def check(frame: pl.DataFrame, data: st.DataObject) -> None:
        entity_type, fields = drawn_type(data, frame)
        if not fields:
            return
        limit = data.draw(st.sampled_from([None, None, *frame["id"]]))
        names: dict[str, str] = {}
        for old in data.draw(st.lists(st.sampled_from(fields), min_size=1, max_size=2, unique=True)):
            free = [new for new in (*fields, *NAMES, *["brand new"] * 3) if limit is not None or new not in names]
            names[old] = data.draw(st.sampled_from([new for new in free if new != old]))
        log = al.from_arrow(frame).renamed({entity_type: names}, before=limit)
        unknown = [
            old for old in names if "?" not in seen(frame, renaming({old: "?"}, entity_type, limit), entity_type)
        ]
        reading = renaming(names, entity_type, limit)
        if unknown:
            told["unknown"] += 1
            with pytest.raises(UnknownField, match="had no field"):
                log.of(entity_type).history()
            return
        try:
            Oracle(frame.to_dicts(), reading=reading)
        except BothNames:
            told["both names"] += 1
            with pytest.raises(ReadingError, match="have both, with different values"):
                log.of(entity_type).history()
            return
        told["agreed"] += 1
        agree(data, frame, log, reading)

    profile(30)(given(histories(), st.data())(check))()
    assert min(told.values()), told


def seen(frame: pl.DataFrame, reading: Reading, entity_type: str) -> set[str]:
    return Oracle(frame.to_dicts(), reading=reading).fields().get(entity_type, set())


def counted(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to 2: a field under another name, and a new one."""
    made = dict(document)
    if "status" in made:
        made["label"] = made.pop("status")
    return {"fields": len(document), **made}


def nested(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2 to 3: nulls go, and exact numbers become part of something."""
    made = {name: value for name, value in document.items() if value is not None}
    for name, value in document.items():
        if isinstance(value, Decimal):
            made[name] = {"amount": value, "was": [name, None]}
    return made


def versioned(data: st.DataObject, frame: pl.DataFrame, versions: list[int | None]) -> pl.DataFrame:
    """The log with a version a transaction, or now and then a change, in its metadata."""
    cuts = sorted(data.draw(st.lists(st.sampled_from(frame["id"].to_list()), min_size=2, max_size=2)))
    metadata = []
    for number, told in frame.select("id", "metadata").iter_rows():
        version = versions[sum(number >= cut for cut in cuts)]
        if data.draw(st.sampled_from((False,) * 7 + (True,))):
            version = data.draw(st.sampled_from(versions))
        word = {None: [], 1: [("schema_version", "1")], 2: [("schema_version", '"2"')]}
        own = [(name, json.dumps(value)) for name, value in json.loads(told or '{"app": 1}').items()]
        pairs = own + word.get(version, [("schema_version", f"{version}.0")])
        metadata.append("{" + ", ".join(f'"{name}": {text}' for name, text in pairs) + "}")
    return frame.with_columns(pl.Series("metadata", metadata, dtype=pl.String))


def version_of(row: Mapping[str, Any], _: State) -> int:
    said = json.loads(row["metadata"]).get("schema_version")
    return DEFAULT if said is None else int(said)


def test_upcast_histories():
    upcasters = al.Upcasters(default=DEFAULT)
    upcasters.register("shop.orders", 1, counted)
    upcasters.register("shop.orders", 2, nested)
    reading = upcasting({1: by_document(counted), 2: by_document(nested)}, "shop.orders", CURRENT, version_of)

    def check(frame: pl.DataFrame, data: st.DataObject) -> None:
        frame = versioned(data, frame, data.draw(st.sampled_from(([None, 2, 3], [3, 1, 2], [2, 2, None]))))
        of_log = upcasters if "shop.orders" in frame["entity_type"] else None
        if of_log is not None:
            agree(data, frame, al.from_arrow(frame).upcast(of_log), reading)

    profile(14)(given(histories(), st.data())(check))()


@pytest.mark.parametrize("kind", AGREED)
def test_histories_renamed_up_to_a_change_and_upcast(kind: str):
    """An image that was completed is read as of the change that recorded it, before anything follows from it."""

    def check(frame: pl.DataFrame, data: st.DataObject) -> None:
        frame = of_changes(frame) if "missing" in KINDS[kind] else frame
        if frame.is_empty():
            return
        entity_type, fields = drawn_type(data, frame)
        if not fields:
            return
        frame = versioned(data, frame, [1, None, 2])
        limit, old = data.draw(st.sampled_from(frame["id"].to_list())), data.draw(st.sampled_from(fields))
        rename = renaming({old: "brand new"}, entity_type, limit)
        if "brand new" not in Oracle(frame.to_dicts(), partial=rename).fields().get(entity_type, set()):
            return
        log = al.from_arrow(frame).renamed({entity_type: {old: "brand new"}}, before=limit)
        if KINDS[kind].get("missing") in LISTED:  # an upcaster refuses fields of another version than their state
            agree(data, frame, log, None, rename)
            return
        upcasters = al.Upcasters(default=DEFAULT)
        upcasters.register(entity_type, 1, counted)
        log = log.upcast(upcasters)
        upcast = upcasting({1: by_document(counted)}, entity_type, 2, version_of)
        agree(data, frame, log, upcast, rename)

    profile(5)(given(histories(**KINDS[kind]), st.data())(check))()


def test_histories_upcast_by_expressions():
    def check(frame: pl.DataFrame, data: st.DataObject) -> None:
        entity_type, fields = drawn_type(data, frame)
        if not fields:
            return
        fields = [name for name in fields if name not in ("*", "^.*$")]  # expressions take those for patterns
        if not fields:
            return
        name, other, gone = (data.draw(st.sampled_from(fields)) for _ in range(3))
        frame = versioned(data, frame, [1, None, 2])

        def moved(state: State) -> State:
            copied = {"copied": state[name]} if name in state else {}
            missing = other not in state or state[other].value == ("null",)
            known = {"known": Exact("false" if missing else "true", ("bool", not missing))}
            return {key: value for key, value in state.items() if key != gone} | copied | known

        upcasters = al.Upcasters(default=DEFAULT)
        parts = {"copied": pl.col(name), "known": pl.col(other).is_not_null(), gone: None}
        upcasters.register(entity_type, 1, parts)
        log = al.from_arrow(frame).upcast(upcasters)
        agree(data, frame, log, upcasting({1: moved}, entity_type, 2, version_of))

    profile(14)(given(histories(), st.data())(check))()


def version_in_a_field(_: Mapping[str, Any], state: State) -> int | str:
    said = state.get("copied")
    kind, *value = ("null",) if said is None else said.value
    number = {"number": lambda: value[0], "text": lambda: value[0], "null": lambda: DEFAULT}.get(kind, lambda: None)()
    return {"1": 1, "2": 2, "3": 3}.get(str(number), "no version")


def test_histories_renamed_and_then_upcast_by_a_field():
    upcasters = al.Upcasters("field.copied", default=DEFAULT, current=CURRENT)
    for version, step in ((1, counted), (2, nested)):
        upcasters.register("shop.orders", version, step)
    second = upcasting({1: by_document(counted), 2: by_document(nested)}, "shop.orders", CURRENT, version_in_a_field)
    told = {"agreed": 0, "no path": 0}

    def check(frame: pl.DataFrame, data: st.DataObject) -> None:
        fields = sorted(Oracle(frame.to_dicts()).fields().get("shop.orders", ()))
        if not fields:
            return
        old = data.draw(st.sampled_from(fields))
        first = renaming({old: "copied"}, "shop.orders")
        log = al.from_arrow(frame).renamed({"shop.orders": {old: "copied"}}).upcast(upcasters)

        reading = one_after_another(first, second)
        try:
            Oracle(frame.to_dicts(), reading=reading)
        except NoPath:
            told["no path"] += 1
            with pytest.raises(UpcastError, match=r"no path to the current one|for a version in"):
                log.of("shop.orders").history()
            return
        told["agreed"] += 1
        agree(data, frame, log, reading)

    profile(20)(given(histories(), st.data())(check))()
    assert min(told.values()), told
