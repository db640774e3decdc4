-- Changes, transactions and entities by entity type.
SELECT
  c.entity_type, count(*) AS changes, count(DISTINCT c.transaction_id) AS transactions,
  count(DISTINCT c.entity) AS entities
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
GROUP BY c.entity_type
ORDER BY changes DESC, c.entity_type
