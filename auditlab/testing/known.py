"""What was true at one time as it was known at another: by the rules as they are written, in plain Python."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.testing.equality import Exact
    from auditlab.testing.oracle import Oracle
    from auditlab.testing.walk import Version

__all__ = ["changed_as_known", "true_as_known", "valid_time"]

SINCE_EVER, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
INFINITE = {"-infinity": SINCE_EVER, "infinity": NEVER}


def true_as_known(
    oracle: Oracle,
    entity: tuple[str, str],
    at: datetime,
    known: datetime,
    *,
    valid: Callable[[Version], datetime | None],
    doubted: Callable[[Version], bool],
) -> tuple[str, Version | None, bool]:
    """What an entity was at ``at``, as it was known at ``known``: a word, its version, and whether that is certain.

    Args:
        oracle: The log.
        entity: Its type and id.
        at: The valid time.
        known: The time by which it had to be recorded.
        valid: The valid time of a version; None where it has none.
        doubted: Whether the log puts in doubt that a version is what came before the next one.
    """
    word, _ = oracle.presence(*entity, known)
    if word != "live":
        return {"not yet": "not known"}.get(word, word), None, True
    by_then = [each for each in oracle.history(*entity) if each.valid_from is None or each.valid_from <= known]
    believed = [each for each in by_then if each.life == by_then[-1].life]
    came = {(change.entity_type, change.new, change.begun_by) for change in oracle.changed}
    whole = believed[0].operation == "INSERT" or (*entity, believed[0].id) in came
    certain = whole
    undated = False
    best: tuple[datetime, Version] | None = None
    for version in believed:
        since = valid(version)
        certain = certain and since is not None and not doubted(version)
        undated = undated or since is None
        if since is not None and since != NEVER and since <= at and (best is None or since >= best[0]):
            best = since, version
    if best is not None:
        return "live", best[1], certain
    if undated:
        return "undated", None, certain
    return "not yet" if certain else "not recorded", None, certain


def changed_as_known(
    oracle: Oracle, changed: Oracle, entity: tuple[str, str], at: datetime, known: datetime
) -> tuple[str, Version | None]:
    """What an entity was at ``at`` by ``changed_at``, from what was committed by ``known``: a word and its version.

    Args:
        oracle: A log by ``committed_at``.
        changed: The same log by ``changed_at``: its rows without ``committed_at``.
        entity: Its type and id.
        at: The time up to which changes count.
        known: The time by which they had to be committed.
    """
    by_commit, by_change = (each.presences(*entity) for each in (oracle, changed))
    if not by_commit:
        return "unknown entity", None
    last = 0
    for place, ((committed, _, _), (begun, _, _)) in enumerate(zip(by_commit, by_change, strict=True)):
        if committed is not None and begun is not None and committed <= known and begun <= at:
            last = place
    _, word, change = by_commit[last]
    if last == 0 and word == "not yet" and all(since is None or since > known for since, _, _ in by_commit):
        word = "not known"
    versions = [each for each in oracle.history(*entity) if each.id == change]
    return word, versions[0] if word == "live" else None


def valid_time(value: Exact | None, zone: str) -> datetime | None:
    """The time that a value names, dates at 00:00, local times in ``zone``; None where it names no one instant."""
    text = None if value is None else value.decoded
    if not isinstance(text, str):
        return None
    if text in INFINITE:
        return INFINITE[text]
    if re.search(r"\.\d{7}", text):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    here = {moment.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    (instant, *others) = here
    return None if others else instant
