-- Not more came since the last snapshot of the entities than that has entities, where snapshots are taken
SELECT
    'info' AS severity,
    format('snapshot of %s', to_char(last.snapshot_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')) AS subject,
    format('%s changes came since, and it has %s entities: a load from it on takes longer than it must', came.changes, last.entities)
        AS message,
    'auditlab snapshot DSN' AS remedy
FROM (
    SELECT s.snapshot_at, s.entities, m.snapshot, txid_snapshot_xmin(m.snapshot) AS since
    FROM audit.snapshot AS s
    JOIN (SELECT k.id, k.system, k.snapshot::text::txid_snapshot AS snapshot FROM audit.mark AS k) AS m ON m.id = s.mark
    WHERE m.system = (SELECT c.system_identifier::text FROM pg_control_system() AS c)
    ORDER BY s.mark DESC LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT count(*) AS changes FROM audit.entity_change_log AS l
    WHERE l.transaction_id >= last.since AND CASE WHEN l.transaction_id >= last.since THEN
        NOT txid_visible_in_snapshot(l.transaction_id, last.snapshot) END
) AS came
WHERE came.changes > last.entities
