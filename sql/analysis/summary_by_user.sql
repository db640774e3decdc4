-- Changes and transactions by user; changes without a user stand under null.
SELECT
  c.changed_by, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions,
  min(c.changed_at) AS first_change, max(c.changed_at) AS last_change
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
GROUP BY c.changed_by
ORDER BY changes DESC, c.changed_by NULLS LAST
