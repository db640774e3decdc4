-- Every change of a field between two instants: after the start, up to and including the end.
SELECT d.*
FROM field_changes AS d
CROSS JOIN params AS p
WHERE d.effective > p.start_at AND d.effective <= p.end_at
  AND (p.entity_id IS NULL OR d.entity_id = p.entity_id)
ORDER BY d.position, d.entity_id, d.place
