"""Changes of one row in one transaction whose order the images do not tell: what looks broken there by id may not be.

Where several walks take every change of such a group once, the log keeps the order by id, in which neighbours need not
fit. Whether some walk exists, and where it may end, is known all the same: each state is left as often as it is
entered, but for the first and the last, and all of them hang together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import polars as pl

from auditlab.links import ABSENT, State, canonical_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditlab.selection import Selected

__all__ = ["tied"]

Edge = tuple[State, State]


def tied(selected: Selected, links: pl.DataFrame) -> pl.Series:
    """Positions (UInt32) of changes that do not fit the one before them for no other reason than an ambiguous order.

    Args:
        selected: The log.
        links: :func:`auditlab.analytics.chain.chain`'s columns but for ``tied``, by entity and position.
    """
    recorded = selected.recorded
    unordered = recorded.sequence.unordered.implode()
    breaks = links.filter((pl.col("differs") | pl.col("misplaced")) & pl.col("previous").is_in(unordered))
    explained: list[int] = []
    if breaks.height:
        entities = breaks["entity"].unique().implode()
        members = links.filter(pl.col("entity").is_in(entities) & pl.col("position").is_in(unordered))
        number = recorded.changes["transaction_id"].gather(members["position"])
        groups = members.with_columns(transaction_id=number).group_by("entity", "transaction_id")
        group_of = {
            (entity, position): place
            for place, (entity, positions) in enumerate(groups.agg("position").select("entity", "position").iter_rows())
            for position in positions
        }
        edges = _edges(selected, pl.concat([members, breaks.select(members.columns)]).unique(["entity", "position"]))
        places = defaultdict(list)
        for change, place in group_of.items():
            places[place].append(edges[change])
        ends = {place: _ends(group) for place, group in places.items()}
        for entity, position, previous in breaks.select("entity", "position", "previous").iter_rows():
            possible = ends[group_of[entity, previous]]
            inside = group_of.get((entity, position)) == group_of[entity, previous]
            if possible and (inside or edges[entity, position][0] in possible):
                explained.append(position)
    return pl.Series("position", explained, dtype=pl.UInt32)


def _edges(selected: Selected, links: pl.DataFrame) -> Mapping[tuple[int, int], Edge]:
    """The states before and after each change of an entity, in canonical form, by entity and position."""
    changes = selected.recorded.changes
    before_at = links.select(pl.coalesce("before_at", "position")).to_series()
    rows = links.select("entity", "position", "entity_type", "operation", "ends").with_columns(
        changes["before_snapshot"].gather(before_at), changes["after_snapshot"].gather(links["position"])
    )
    edges: dict[tuple[int, int], Edge] = {}
    for entity, position, entity_type, operation, ends, before, after in rows.iter_rows():
        kinds = selected.recorded.facts.kinds.get(entity_type, {})
        found = after if operation == "SNAPSHOT" else before
        edges[entity, position] = (
            ABSENT if operation == "INSERT" else canonical_document(found, kinds),
            ABSENT if ends else canonical_document(after, kinds),
        )
    return edges


def _ends(edges: Iterable[Edge]) -> set[State]:
    """The states in which a walk over all the edges can end; none where there is no such walk."""
    balance: Counter[State] = Counter()
    root: dict[State, State] = {}

    def top(state: State) -> State:
        while root.setdefault(state, state) != state:
            state = root[state]
        return state

    for before, after in edges:
        balance[before] += 1
        balance[after] -= 1
        root[top(before)] = top(after)
    odd = {state: count for state, count in balance.items() if count}
    if len({top(state) for state in root}) > 1 or any(abs(count) > 1 for count in odd.values()) or len(odd) > 2:  # noqa: PLR2004 - its first and its last state
        return set()
    return {state for state, count in odd.items() if count < 0} or set(root)
