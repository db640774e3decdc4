-- Changes and transactions by entity, the most changed first. A TRUNCATE names no entity and is not here.
SELECT
  c.entity_type, c.entity_id, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions,
  min(c.at) AS first_change, max(c.at) AS last_change
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT' AND c.entity_id IS NOT NULL
GROUP BY c.entity_type, c.entity_id
ORDER BY changes DESC, c.entity_type, c.entity_id
