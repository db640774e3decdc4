-- Changes and transactions by period and user; changes without a user stand under null.
SELECT c.period, c.changed_by, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
GROUP BY c.period, c.changed_by
ORDER BY c.period, c.changed_by NULLS LAST
