"""Each way in which the published trigger breaks the application's write; the same write on ours goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlab.connection import connect
from auditlab.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable

BREAKS = {
    "the table has no id": (
        "CREATE TABLE public.t (code text PRIMARY KEY, v text)",
        "INSERT INTO public.t VALUES ('a', 'b')",
    ),
    "the id is no uuid": (
        "CREATE TABLE public.t (id int PRIMARY KEY, v text)",
        "INSERT INTO public.t VALUES (1, 'b')",
    ),
    "the user id is no uuid": (
        "CREATE TABLE public.t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v text)",
        "SET LOCAL app.current_user_id = 'ann'; INSERT INTO public.t (v) VALUES ('b')",
    ),
    "a json holds a NUL": (
        "CREATE TABLE public.t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v json)",
        r"""INSERT INTO public.t (v) VALUES ('"\u0000"')""",
    ),
    "the month has no partition": (
        "CREATE TABLE public.t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v text)",
        "INSERT INTO public.t (v) VALUES ('b')",
    ),
}
LAST_YEAR_ONLY = """
ALTER TABLE audit.entity_change_log RENAME TO plain;
CREATE TABLE audit.entity_change_log (LIKE audit.plain INCLUDING DEFAULTS) PARTITION BY RANGE (changed_at);
CREATE TABLE audit.entity_change_log_2020_01 PARTITION OF audit.entity_change_log
    FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
"""


@pytest.mark.parametrize("why", BREAKS)
def test_the_published_trigger_breaks_the_write(published: str, why: str):
    table, write = BREAKS[why]
    with connect(published) as connection:
        connection.execute(table)
        connection.execute(
            "CREATE TRIGGER log AFTER INSERT OR UPDATE OR DELETE ON public.t"
            " FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change()"
        )
        if why == "the month has no partition":
            connection.execute(LAST_YEAR_ONLY)
    with pytest.raises(DatabaseError), connect(published) as connection:
        connection.execute(write)


@pytest.mark.parametrize("why", BREAKS)
def test_ours_does_not(captured: str, tracked: Callable[..., None], log: Callable[..., list[tuple]], why: str):
    table, write = BREAKS[why]
    tracked(table, "public.t")
    if why == "the month has no partition":
        with connect(captured) as connection:
            month = connection.rows("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM') AS m")[0]["m"]
            connection.execute(f"DROP TABLE audit.entity_change_log_{month}")
    with connect(captured) as connection:
        connection.execute(write)
    assert [row[0] for row in log("operation")] == ["INSERT"]
