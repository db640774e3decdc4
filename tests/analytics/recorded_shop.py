"""The table in which the tests of evidence and of reconcile plant their faults."""

from __future__ import annotations

SHOP = """
CREATE TABLE shop (id uuid PRIMARY KEY, total numeric(20, 2), note text, at timestamptz, raw bytea, w double precision,
    took interval DEFAULT '1 year 2 mons -3 days 04:05:06.789');
"""
FILL = """
INSERT INTO shop (id, total, note, at, raw, w)
SELECT md5('row' || n)::uuid, n * 1.10, 'note ' || n, '2024-05-01 12:00+00', '\\xdeadbeef', 0.1 + 0.2
FROM generate_series(1, 8) AS n
"""
PUBLISHED_TRIGGER = """
CREATE TRIGGER trg_shop AFTER INSERT OR UPDATE OR DELETE ON shop
    FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change();
"""
