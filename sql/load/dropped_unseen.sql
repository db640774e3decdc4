-- How many partitions were dropped from the log with changes that a snapshot of the entities may not have seen.
SELECT count(*) AS partitions
FROM audit.entity_change_log_pruned AS k
CROSS JOIN (SELECT s.dropped, txid_snapshot_xmin(m.snapshot::text::txid_snapshot) AS since
            FROM audit.snapshot AS s JOIN audit.mark AS m ON m.id = s.mark
            WHERE s.snapshot_at = current_setting('auditlab.snapshot_at')::timestamptz) AS known
WHERE k.rows > 0
  AND k.dropped_at <> ALL (known.dropped)
  AND coalesce(k.last_transaction >= known.since, true)
