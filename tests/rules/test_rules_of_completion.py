"""The rule of missing images, under its number: completed where the neighbours determine them, and told to be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import auditlab as al
from auditlab.errors import IncompletePopulation, ReadingError, UndeterminedState, UpcastError
from auditlab.testing.logs import START

if TYPE_CHECKING:
    from collections.abc import Callable

    LogOf = Callable[..., al.ChangeLog[Any]]

NO_BEFORE: dict[str, Any] = {"before_snapshot": None}


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def said(fields: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a changed_fields column holds
    return {**NO_BEFORE, "changed_fields": fields}


AFTER_IMAGES = [
    ("INSERT", "a", {"n": 1, "s": "x"}),
    ("UPDATE", "a", {"n": 2, "s": "x"}, NO_BEFORE),
    ("UPDATE", "a", {"n": 2, "s": "y"}, NO_BEFORE),
    ("DELETE", "a", NO_BEFORE),
]
BEFORE_IMAGES = [
    ("INSERT", "a", None),
    ("UPDATE", "a", None, {"before_snapshot": {"n": 1, "s": "x"}}),
    ("UPDATE", "a", None, {"before_snapshot": {"n": 2, "s": "x"}}),
    ("DELETE", "a", {"before_snapshot": {"n": 2, "s": "y"}}),
]
CHANGED_FIELDS = [
    ("INSERT", "a", None, said({"n": 1, "s": "x"})),
    ("UPDATE", "a", None, said({"n": 2})),
    ("UPDATE", "a", None, said({"s": "y"})),
    ("DELETE", "a", NO_BEFORE),
]
INSERTED_AND_CHANGED = [AFTER_IMAGES[0], *CHANGED_FIELDS[1:]]
LOGS = {
    "after images": AFTER_IMAGES,
    "before images": BEFORE_IMAGES,
    "changed fields": CHANGED_FIELDS,
    "inserted rows and changed fields": INSERTED_AND_CHANGED,
}


@pytest.fixture(params=LOGS)
def some_log(request: pytest.FixtureRequest, log_of: LogOf) -> al.ChangeLog[Any]:
    return log_of(LOGS[request.param])


def test_rule_18_every_verb_answers_a_log_without_some_images(some_log: al.ChangeLog[Any]):
    history = some_log.history().select("version", "life", "valid_from", "valid_to", "ended_by", "n", "s")
    assert history.rows() == [
        (1, 1, second(0), second(1), 2, 1, "x"),
        (2, 1, second(1), second(2), 3, 2, "x"),
        (3, 1, second(2), second(3), 4, 2, "y"),
    ]
    assert some_log.as_of(second(1)).select("n", "s").rows() == [(2, "x")]
    assert some_log.as_of(id=3).select("n", "s").rows() == [(2, "y")]
    assert some_log.as_of().is_empty()
    assert some_log.replay(second(2)).select("n", "s").rows() == [(2, "y")]
    assert some_log.diffs().select("id", "field", "kind", "old", "new").rows() == [
        (1, "n", "added", None, "1"),
        (1, "s", "added", None, "x"),
        (2, "n", "modified", "1", "2"),
        (3, "s", "modified", "x", "y"),
        (4, "n", "removed", "2", None),
        (4, "s", "removed", "y", None),
    ]
    assert some_log.compare(second(0), second(2)).select("field", "old", "new").rows() == [
        ("n", "1", "2"),
        ("s", "x", "y"),
    ]
    assert some_log.blame(at=second(2)).select("field", "value", "id", "old").rows() == [
        ("n", "2", 2, "1"),
        ("s", "y", 3, "x"),
    ]
    spine = some_log.changes().select("entity_id", at="changed_at")
    assert some_log.pit_join(spine).select("presence", "n").rows() == [
        ("live", 1), ("live", 2), ("live", 2), ("deleted", None),
    ]  # fmt: skip
    assert some_log.aggregate("t", items=("t", "s"), at=second(1))["n"].to_list() == [2]


def test_rule_18_what_was_not_recorded_is_marked_derived(engine: str, log_of: LogOf):
    origins = {name: log_of(steps).history()["origin"].to_list() for name, steps in LOGS.items()}
    assert origins == {
        "after images": ["observed"] * 3,
        "before images": ["derived"] * 3,
        "changed fields": ["derived"] * 3,
        "inserted rows and changed fields": ["observed", "derived", "derived"],
    }, engine
    blamed = {name: log_of(steps).blame(at=second(1))["origin"].to_list() for name, steps in LOGS.items()}
    assert blamed == {
        "after images": ["derived", "observed"],
        "before images": ["derived", "derived"],
        "changed fields": ["derived", "derived"],
        "inserted rows and changed fields": ["derived", "observed"],
    }


def test_rule_18_a_missing_image_among_others_follows_from_its_neighbours(log_of: LogOf):
    log = log_of(
        [
            ("INSERT", "a", {"n": 1}),
            ("UPDATE", "a", None, NO_BEFORE),
            ("UPDATE", "a", {"n": 3}, {"before_snapshot": {"n": 2}}),
            ("UPDATE", "a", {"n": 4}, NO_BEFORE),
        ]
    )
    assert log.history().select("n", "origin").rows() == [
        (1, "observed"), (2, "derived"), (3, "observed"), (4, "observed"),
    ]  # fmt: skip
    assert log.diffs().filter(field="n").select("old", "new").rows()[1:] == [("1", "2"), ("2", "3"), ("3", "4")]


def test_rule_18_what_nothing_tells_is_unknown_and_the_verbs_say_so(log_of: LogOf):
    log = log_of([*BEFORE_IMAGES[:3], ("INSERT", "b", None)])
    assert log.history("a").select("valid_to", "n").rows() == [(second(1), 1), (second(2), 2)]
    assert log.history("b").is_empty()
    questions: list[Callable[[], Any]] = [
        log.as_of,
        log.replay,
        log.blame,
        lambda: log.compare(second(1), second(3)),
        lambda: log.aggregate("t", items=("t", "s")),
        lambda: log.as_of(id=3),
    ]
    for ask in questions:
        with pytest.warns(UndeterminedState, match=r"does not tell the state of some entities there: \d of t"):
            assert ask().is_empty()
    spine = log.changes().select("entity_id", at="changed_at")
    assert log.pit_join(spine)["presence"].to_list() == ["live", "live", "not recorded", "not recorded"]
    assert log.diffs()["id"].to_list() == [1, 1, 2], "what the third change did is not known"
    assert "the log does not tell as what: its last INSERT" in log.why_not("b", second(3))


def test_rule_18_changed_fields_make_no_state_of_nothing_known(log_of: LogOf):
    log = log_of([("UPDATE", "a", None, said({"n": 2})), ("UPDATE", "a", None, said({"n": 3}))])
    assert log.history().is_empty()
    assert log.diffs().is_empty()
    with pytest.warns(UndeterminedState), pytest.warns(IncompletePopulation):
        assert log.as_of().is_empty()


def test_rule_18_blame_across_an_unknown_state_is_unknown(log_of: LogOf):
    names = ("UPDATE", "a", None, said(["n"]))
    log = log_of([CHANGED_FIELDS[0], names, names, ("DELETE", "a", {"before_snapshot": {"n": 1}})])
    assert log.history().select("valid_from", "valid_to", "n").rows() == [
        (second(0), second(1), 1),
        (second(2), second(3), 1),
    ]
    blamed = log.blame(at=second(2)).select("field", "value", "id", "origin", "seen_in")
    assert blamed.rows() == [("n", "1", None, "unknown", 3)]


def test_rule_18_an_update_without_a_list_changed_nothing_where_others_have_one(log_of: LogOf):
    log = log_of([*INSERTED_AND_CHANGED[:2], ("UPDATE", "a", None, NO_BEFORE)])
    assert log.as_of().select("n", "s").rows() == [(2, "x")]
    assert log.diffs()["id"].to_list() == [1, 1, 2]


@pytest.mark.parametrize("fields", [{"n": [1, 2]}, {"n": {"old": 1, "new": 2}}, ["n"]], ids=str)
def test_rule_18_lists_that_are_no_new_values_tell_no_state(log_of: LogOf, fields: Any):  # noqa: ANN401 - as above
    log = log_of([("INSERT", "a", None, NO_BEFORE), ("UPDATE", "a", None, said(fields)), BEFORE_IMAGES[2]])
    assert log.history().select("valid_from", "n").rows() == [(second(1), 2)]


def test_rule_18_a_list_on_a_state_that_was_found_otherwise_is_the_change_s_own(log_of: LogOf):
    steps = [*INSERTED_AND_CHANGED[:2], ("UPDATE", "a", {"n": 2, "s": "z"}, {"before_snapshot": {"n": 2, "s": "?"}})]
    log = log_of(steps)
    assert log.history().select("s", "certain").rows() == [("x", True), ("x", False), ("z", True)]
    assert log.blame().filter(field="s")["id"].to_list() == [3]


def test_rule_18_a_state_goes_on_under_a_new_key(log_of: LogOf):
    here = {"transaction_id": 7}
    ended = {**here, **NO_BEFORE, "metadata": {"rekeyed_to": "b"}}
    begun = {**here, "metadata": {"rekeyed_from": "a"}}
    log = log_of(
        [
            ("INSERT", "a", {"id": "a", "n": 1}),
            ("UPDATE", "a", None, said({"n": 2})),
            ("DELETE", "a", ended),
            ("INSERT", "b", None, {**begun, "changed_fields": {"id": "b"}}),
            ("UPDATE", "b", None, said({"n": 3})),
        ]
    )
    assert log.history().select("entity_id", "n", "origin").rows() == [
        ("a", 1, "observed"), ("a", 2, "derived"), ("b", 2, "derived"), ("b", 3, "derived"),
    ]  # fmt: skip
    assert log.as_of()["n"].to_list() == [3]


def versioned(version: int, fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return {**said(fields), "metadata": {"schema_version": version}}


def test_rule_18_renames_read_changed_fields_and_upcasters_whole_states(log_of: LogOf):
    log = log_of(
        [
            ("INSERT", "a", {"name": "x", "n": 1}, {"metadata": {"schema_version": 1}}),
            ("UPDATE", "a", None, versioned(1, {"title": "yy"})),
            ("UPDATE", "a", None, versioned(1, {"n": 2})),
        ]
    )
    renamed = log.renamed({"name": "title"})
    assert renamed.history().select("title", "n").rows() == [("x", 1), ("yy", 1), ("yy", 2)]
    with pytest.raises(ReadingError, match="have both"):
        log.upcast(_summing()).renamed({"name": "title"}).as_of()
    assert renamed.upcast(_summing()).history()["sum"].to_list() == [2, 3, 4]


def test_rule_18_changed_fields_of_another_version_than_the_state_s_are_refused(log_of: LogOf):
    first = ("INSERT", "a", {"title": "x", "n": 1}, {"metadata": {"schema_version": 1}})
    log = log_of([first, ("UPDATE", "a", None, versioned(2, {"n": 2}))])
    with pytest.raises(UpcastError, match=r"changed fields of another version than the state .* 1 change \(id 2\)"):
        log.upcast(_summing()).as_of()


def _summing() -> al.Upcasters:
    upcasters = al.Upcasters()
    upcasters.register("t", 1, lambda document: {**document, "sum": document["n"] + len(document.get("title", ""))})
    return upcasters


def test_rule_18_an_update_without_a_list_is_idle_only_where_the_next_change_does_not_show_another_state(log_of: LogOf):
    silent = {"before_snapshot": None, "changed_fields": None}
    log = log_of([
        ("INSERT", "a", None, said({"n": 1})),
        ("UPDATE", "a", None, silent),
        ("UPDATE", "a", None, silent),
        ("UPDATE", "a", None, {"before_snapshot": {"n": 7}, "changed_fields": {"n": 8}}),
    ])  # fmt: skip
    assert log.history().select("id", "n", "origin").rows() == [
        (1, 1, "derived"), (2, 1, "derived"), (3, 7, "derived"), (4, 8, "derived"),
    ]  # fmt: skip
    assert [log.as_of(id=number)["n"].to_list() for number in (2, 3, 4)] == [[1], [7], [8]]
    assert log.diffs().select("id", "old", "new").rows() == [(1, None, "1"), (3, "1", "7"), (4, "7", "8")]
