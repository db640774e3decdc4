-- Changes that no reader by transaction id would ever see, or would see too early: how many of each kind, and the first.
SELECT u.kind,
       count(*) AS rows,
       min(u.id) AS first
FROM (
    SELECT l.id::bigint AS id,
           CASE
               WHEN l.transaction_id IS NULL THEN 'without a transaction id'
               WHEN l.transaction_id::text::numeric < 3 THEN 'with an impossible transaction id'
               ELSE 'with a transaction id of the future'
           END AS kind
    FROM (SELECT * FROM audit.entity_change_log) AS l
    WHERE l.transaction_id IS NULL
       OR l.transaction_id < current_setting('auditlab.first_transaction')::bigint -- if first_transaction
       OR l.transaction_id >= current_setting('auditlab.next_transaction')::bigint -- if next_transaction
) AS u
GROUP BY u.kind
ORDER BY u.kind
