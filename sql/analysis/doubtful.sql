-- The changes that may have been visible at an instant, or not: each row of doubts has the time for which that is so.
SELECT d.*
FROM doubts AS d
CROSS JOIN params AS p
WHERE (p.entity_id IS NULL OR d.entity_id = p.entity_id)
  AND d.since <= p.at
  AND (d.until IS NULL OR d.until > p.at)
ORDER BY d.entity_id, d.position
