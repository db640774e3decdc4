-- How many UPDATEs changed each field, in how many transactions and entities, the most changed first.
-- An INSERT sets, and a DELETE removes, every field of its row at once: neither says anything about one field.
SELECT
  d.entity_type, d.field, count(DISTINCT d.position) AS changes,
  count(DISTINCT c.transaction_id) AS transactions, count(DISTINCT d.entity_id) AS entities
FROM field_changes AS d
JOIN changes AS c ON d.position = c.position
WHERE c.operation = 'UPDATE'
GROUP BY d.entity_type, d.field
ORDER BY changes DESC, d.entity_type, d.field
