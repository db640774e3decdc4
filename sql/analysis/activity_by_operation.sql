-- Changes and transactions by period (hour, day, week, month or year of the log's time zone) and operation.
SELECT c.period, c.operation, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
GROUP BY c.period, c.operation
ORDER BY c.period, c.operation
