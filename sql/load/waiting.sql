-- How many changes are there already that a reader must leave for the next time, and when the first of them began.
SELECT count(*) AS rows,
       min(l.changed_at) AS first
FROM (SELECT * FROM audit.entity_change_log) AS l
WHERE l.transaction_id >= current_setting('auditlab.to_transaction')::bigint -- if to_transaction
