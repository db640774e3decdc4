-- What was dropped from the log after it was archived: up to when, and the highest id and transaction among it.
SELECT count(*) AS partitions,
       max(k.ends_at) AS until,
       max(k.last_id) AS last_id,
       max(k.last_transaction) AS last_transaction
FROM audit.entity_change_log_pruned AS k
