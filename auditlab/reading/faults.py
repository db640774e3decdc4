"""What is in the way of an upcast, and where: in a whole log, or joined from what its parts tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlab.errors import UpcastError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from auditlab.reading.images import Where

__all__ = ["Fault"]


class Fault(Exception):
    """What is in the way of an upcast.

    Args:
        stage: How far the documents came: of several faults the first stage's is told.
        where: The changes that have the documents, under the name by which the words mention them.
        words: What is said of them.
        place: Where the first of the documents comes among those of all parts.
        cause: The exception behind it.
    """

    def __init__(
        self,
        stage: int,
        where: Mapping[str, Where],
        words: Callable[[Mapping[str, Where]], str],
        *,
        place: tuple[int, ...] = (),
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(stage)
        self.stage, self.where, self.words, self.place, self.cause = stage, where, words, place, cause

    def joined(self, other: Fault | None) -> Fault:
        """What two parts tell: the first stage's fault; of one stage that of the first document, about all changes."""
        if other is None or self.stage < other.stage:
            return self
        if self.stage > other.stage:
            return other
        where = dict(self.where)
        for name, changes in other.where.items():
            where[name] = where[name] + changes if name in where else changes
        first = min(self, other, key=lambda fault: fault.place)
        return Fault(self.stage, where, first.words, place=first.place, cause=first.cause)

    @property
    def error(self) -> UpcastError:
        """The error that tells it."""
        return UpcastError(self.words(self.where))
