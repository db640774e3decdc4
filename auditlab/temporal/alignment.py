"""Which elements two lists have in common, in order: a longest common subsequence, bounded."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["Effort", "common"]

Link = tuple[int, int, "Link | None"]
"""A pair of places and the link before it."""


class Effort:
    """How much work may still go into one value; what would take more is not begun."""

    def __init__(self, most: int) -> None:
        self.left = most

    def allows(self, cost: int) -> bool:
        """Whether that much is left; if so, it is taken."""
        if cost > self.left:
            return False
        self.left -= cost
        return True


def common(old: Sequence[Hashable], new: Sequence[Hashable], effort: Effort) -> list[tuple[int, int]] | None:
    """The places of the elements that both lists have, in order, as many as there can be; None where it is too dear.

    Elements that only one list has cost nothing, and neither does what is the same at both ends; between those it
    costs one step for each pair of equal elements.

    Args:
        old: Elements that are equal where their values are.
        new: The same.
        effort: What the work is taken from.

    >>> common("abcd", "xbdd", Effort(100))
    [(1, 1), (3, 2)]
    """
    shared = set(old) & set(new)
    here = [place for place, element in enumerate(old) if element in shared]
    there = [place for place, element in enumerate(new) if element in shared]
    first = 0
    while first < min(len(here), len(there)) and old[here[first]] == new[there[first]]:
        first += 1
    last = 0
    while last < min(len(here), len(there)) - first and old[here[-1 - last]] == new[there[-1 - last]]:
        last += 1
    ends = len(here) - last, len(there) - last
    middle = _longest(old, new, here[first : ends[0]], there[first : ends[1]], effort)
    if middle is None:
        return None
    same_start = zip(here[:first], there[:first], strict=True)
    same_end = zip(here[ends[0] :], there[ends[1] :], strict=True)
    return [*same_start, *middle, *same_end]


def _longest(
    old: Sequence[Hashable], new: Sequence[Hashable], here: list[int], there: list[int], effort: Effort
) -> list[tuple[int, int]] | None:
    """The longest common subsequence by the pairs of equal elements (Hunt and Szymanski, 1977)."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place in reversed(there):
        places[new[place]].append(place)
    if not effort.allows(sum(len(places[old[place]]) for place in here if old[place] in places)):
        return None
    ends: list[int] = []
    links: list[Link] = []
    for mine in here:
        for theirs in places.get(old[mine], ()):
            at = bisect_left(ends, theirs)
            link = (mine, theirs, links[at - 1] if at else None)
            if at == len(ends):
                ends.append(theirs)
                links.append(link)
            else:
                ends[at], links[at] = theirs, link
    found = []
    chain = links[-1] if links else None
    while chain is not None:
        found.append(chain[:2])
        chain = chain[2]
    return found[::-1]
