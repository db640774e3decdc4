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
            position: place
            for place, positions in enumerate(groups.agg("position")["position"].to_list())
            for position in positions
        }
        edges = _edges(selected, [*group_of, *breaks["position"].to_list()])
        places = defaultdict(list)
        for position, place in group_of.items():
            places[place].append(edges[position])
        ends = {place: _ends(group) for place, group in places.items()}
        for position, previous in breaks.select("position", "previous").iter_rows():
            possible = ends[group_of[previous]]
            inside = group_of.get(position) == group_of[previous]
            if possible and (inside or edges[position][0] in possible):
                explained.append(position)
    return pl.Series("position", explained, dtype=pl.UInt32)


def _edges(selected: Selected, positions: list[int]) -> Mapping[int, Edge]:
    """The states before and after each change, in canonical form."""
    recorded = selected.recorded
    rows = recorded.changes[positions].select(
        "position", "entity_type", "operation", "before_snapshot", "after_snapshot"
    )
    edges: dict[int, Edge] = {}
    for position, entity_type, operation, before, after in rows.iter_rows():
        kinds = recorded.facts.kinds.get(entity_type, {})
        found = after if operation == "SNAPSHOT" else before
        edges[position] = (
            ABSENT if operation == "INSERT" else canonical_document(found, kinds),
            ABSENT if operation == "DELETE" else canonical_document(after, kinds),
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
