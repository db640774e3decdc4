-- Changes and transactions by weekday (1 is Monday) and hour of the log's time zone.
SELECT c.weekday, c.hour, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
GROUP BY c.weekday, c.hour
ORDER BY c.weekday, c.hour
