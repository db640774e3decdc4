-- A change log of :rows changes with documents of about :width bytes, ten changes an entity, made on the server.
-- Usage: psql -v rows=1000000 -v width=456 -f big_log.sql
CREATE SCHEMA IF NOT EXISTS audit;
CREATE TABLE audit.entity_change_log (
    id             bigserial PRIMARY KEY,
    entity_type    text NOT NULL,
    entity_id      uuid NOT NULL,
    operation      text NOT NULL,
    changed_by     uuid,
    changed_at     timestamptz NOT NULL,
    before_snapshot jsonb,
    after_snapshot jsonb,
    changed_fields jsonb,
    metadata       jsonb,
    transaction_id bigint,
    correlation_id uuid
);
INSERT INTO audit.entity_change_log (
    entity_type, entity_id, operation, changed_by, changed_at, before_snapshot, after_snapshot,
    changed_fields, metadata, transaction_id, correlation_id
)
SELECT CASE WHEN r.entity % 4 = 0 THEN 'orders.orders' ELSE 'orders.order_items' END,
       r.entity_id,
       CASE WHEN r.version = 1 THEN 'INSERT' WHEN r.version = 10 AND r.entity % 10 = 0 THEN 'DELETE' ELSE 'UPDATE' END,
       md5('user' || r.n % 40)::uuid,
       timestamptz '2024-01-01 00:00+00' + r.n / 3 * interval '1 second',
       CASE WHEN r.version > 1 THEN d.before END,
       CASE WHEN r.version < 10 OR r.entity % 10 > 0 THEN d.after END,
       CASE WHEN r.version > 1 AND (r.version < 10 OR r.entity % 10 > 0) THEN jsonb_build_object('total', r.n * 1.10, 'version', r.version) END,
       jsonb_build_object('session_user', 'app', 'application_name', 'web'),
       1000 + r.n / 3,
       md5('request' || r.n / 9)::uuid
FROM (
    SELECT n,
           n % greatest(:rows / 10, 1) AS entity,
           n / greatest(:rows / 10, 1) + 1 AS version,
           md5('entity' || n % greatest(:rows / 10, 1))::uuid AS entity_id
    FROM generate_series(0, :rows - 1) AS n
) AS r
CROSS JOIN LATERAL (
    SELECT jsonb_build_object('id', r.entity_id, 'status', 'state ' || r.entity % 7, 'created_at', '2024-01-01T00:00:00+00:00') AS fixed,
           repeat(md5(r.entity::text), :width / 32 + 1) AS padding
) AS f
CROSS JOIN LATERAL (
    SELECT f.fixed || jsonb_build_object('version', r.version - 1, 'total', (r.n - :rows / 10) * 1.10, 'note', left(f.padding, :width - 200)) AS before,
           f.fixed || jsonb_build_object('version', r.version, 'total', r.n * 1.10, 'note', left(f.padding, :width - 200)) AS after
) AS d;
ANALYZE audit.entity_change_log;
