-- Changes and transactions by operation.
SELECT c.operation, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
GROUP BY c.operation
ORDER BY changes DESC, c.operation
