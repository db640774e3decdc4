-- The entity types that the snapshot of the entities, which is set, has states of.
SELECT DISTINCT s.entity_type AS name
FROM audit.entity_snapshots AS s
WHERE s.snapshot_at = current_setting('auditlab.snapshot_at')::timestamptz
