-- Changes and transactions by period (hour, day, week, month or year of the log's time zone).
SELECT c.period, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
GROUP BY c.period
ORDER BY c.period
