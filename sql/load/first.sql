-- A row of the first transaction that a log tells of: the log begins with it, whatever is read of it.
SELECT l.*
FROM (SELECT * FROM audit.entity_change_log) AS l
WHERE l.transaction_id IS NOT NULL
ORDER BY l.transaction_id, l.id
LIMIT 1
