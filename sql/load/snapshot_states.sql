-- The states of one snapshot of the entities, as SNAPSHOT rows of the log. Lines that end in "if <filter>" as in changes.sql.
SELECT s.last_change_id AS id,
       s.entity_type,
       s.entity_id,
       'SNAPSHOT'::text AS operation,
       s.snapshot_at AS changed_at,
       NULL::jsonb AS before_snapshot,
       s.snapshot_data AS after_snapshot,
       s.last_transaction AS transaction_id
FROM audit.entity_snapshots AS s
WHERE s.snapshot_at = current_setting('auditlab.snapshot_at')::timestamptz
  AND s.entity_type IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entity_types')::jsonb)) -- if entity_types
