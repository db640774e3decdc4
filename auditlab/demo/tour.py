"""What an auditor would ask of the shop's log, and the answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import polars as pl

from auditlab.demo.workload import INCIDENT, USERS

if TYPE_CHECKING:
    import auditlab as al

__all__ = ["Show", "take_tour"]

NAMES = {user: name for name, user in USERS.items()}
ROWS = 5


class Show(Protocol):
    """How the demo speaks to the person who runs it."""

    def heading(self, text: str) -> None:
        """Begin a part."""

    def line(self, text: str) -> None:
        """Say a sentence."""

    def code(self, text: str) -> None:
        """Show what a user would type."""

    def table(self, frame: pl.DataFrame, *, limit: int = 0) -> None:
        """Show a table."""


@dataclass(frozen=True, slots=True)
class Incident:
    """The transaction that discounted everything: who, when, when all saw it, and what it did to how many orders."""

    who: str
    when: datetime
    after: datetime
    transaction: int
    orders: int

    @property
    def before(self) -> datetime:
        """The last moment before it."""
        return self.when - timedelta(microseconds=1)


def take_tour(log: al.ChangeLog[pl.DataFrame], show: Show) -> None:
    """Ask the questions and show the answers. All moments come from the log itself, so that any run of the day does."""
    orders = log.of("orders.orders")
    _what_happened(log, show)
    incident = _since_when(log, show)
    order = _an_order(orders, incident)
    _one_order(orders, order, incident, show)
    _between(orders, incident, show)
    _one_field(orders, order, show)
    _second_lives(orders, show)
    _truncated(log, show)


def _what_happened(log: al.ChangeLog[pl.DataFrame], show: Show) -> None:
    show.heading("What happened, and who did it?")
    show.code("log.summary()")
    counted = log.summary()
    show.table(counted.by_type)
    show.table(_named(counted.by_user))


def _since_when(log: al.ChangeLog[pl.DataFrame], show: Show) -> Incident:
    show.heading("Totals look wrong. Which request touched many orders at once?")
    show.code(f'log.correlation("{INCIDENT}").changes()')
    changes = log.correlation(INCIDENT).changes().sort("id")
    first = changes.row(0, named=True)
    when = first[log.facts.clock]
    incident = Incident(NAMES[first["changed_by"]], when, _after(log, when), first["transaction_id"], changes.height)
    show.line(
        f"{incident.who}, at {incident.when:%H:%M:%S.%f} UTC, changed {incident.orders} orders in transaction "
        f"{incident.transaction}."
    )
    return incident


def _an_order(orders: al.ChangeLog[pl.DataFrame], incident: Incident) -> str:
    """An order that the incident touched and that went on afterwards: the one with the most versions."""
    touched = orders.transaction(incident.transaction).changes()["entity_id"]
    versions = orders.history().filter(pl.col("entity_id").is_in(touched.implode()))
    counted = versions.group_by("entity_id").len().sort("len", "entity_id", descending=[True, False])
    return str(counted["entity_id"][0])


def _one_order(orders: al.ChangeLog[pl.DataFrame], order: str, incident: Incident, show: Show) -> None:
    show.heading("How did one order stand before it, after it, and how does it stand now?")
    show.code('orders = log.of("orders.orders")')
    show.code(f'orders.entity("{order[:8]}...").as_of("{incident.before.isoformat()}")')
    moments = {"before": incident.before, "after": incident.after, "now": None}
    states = [
        orders.entity(order).as_of(at).select(pl.lit(when).alias("when"), "entity_id", "status", "total", "currency")
        for when, at in moments.items()
    ]
    show.table(pl.concat(states))


def _between(orders: al.ChangeLog[pl.DataFrame], incident: Incident, show: Show) -> None:
    show.heading("What changed between the two moments?")
    show.code("orders.compare(before, after)")
    show.table(orders.compare(incident.before, incident.after).drop("entity_type"), limit=ROWS)


def _one_field(orders: al.ChangeLog[pl.DataFrame], order: str, show: Show) -> None:
    show.heading("Who changed the total of that order, when, from what to what?")
    show.code(f'orders.entity("{order[:8]}...").diffs().filter(pl.col("field") == "total")')
    totals = orders.entity(order).diffs().filter(pl.col("field") == "total")
    show.table(_named(totals.select("changed_at", "changed_by", "kind", "old", "new", "transaction_id")))


def _second_lives(orders: al.ChangeLog[pl.DataFrame], show: Show) -> None:
    show.heading("Which orders were deleted and came back under the same id?")
    show.code('orders.history().filter(pl.col("life") > 1)')
    history = orders.history()
    again = history.filter(pl.col("life") > 1)["entity_id"].unique().sort()
    one = history.filter(pl.col("entity_id") == again[0])
    columns = ("version", "life", "valid_from", "valid_to", "operation", "changed_by", "status", "total")
    show.table(_named(one.select(columns)))
    show.line(f"{len(again)} did; this is one. Between its lives it is in no answer.")


def _truncated(log: al.ChangeLog[pl.DataFrame], show: Show) -> None:
    show.heading("Where are the carts?")
    carts = log.of("orders.carts")
    change = carts.changes().filter(pl.col("operation") == "TRUNCATE").row(0, named=True)
    when = change[log.facts.clock]
    moments = (when - timedelta(microseconds=1), _after(log, when), None)
    before, after, now = (carts.as_of(at).height for at in moments)
    show.line(
        f"{NAMES[change['changed_by']]} emptied the table at {when:%H:%M:%S.%f} UTC (TRUNCATE): {before} carts before, "
        f"{after} after, {now} now."
    )


def _after(log: al.ChangeLog[pl.DataFrame], when: datetime) -> datetime:
    """The first mark after a time, when all saw what was recorded at it; the time itself where there is none."""
    return min((mark.at for mark in log.facts.marks if mark.since > when), default=when)


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    """The same frame with the shop's people by name."""
    return frame.with_columns(pl.col("changed_by").replace(NAMES))
