-- What each change did: one row a changed field, in the log's order.
SELECT d.*
FROM field_changes AS d
CROSS JOIN params AS p
WHERE p.entity_id IS NULL OR d.entity_id = p.entity_id
ORDER BY d.position, d.entity_id, d.place
