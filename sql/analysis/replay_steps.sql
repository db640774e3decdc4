-- The log folded step by step, up to an instant: the state after each change; after a DELETE the fields are null.
SELECT s.*
FROM steps AS s
CROSS JOIN params AS p
WHERE (p.at IS NULL OR s.effective IS NULL OR s.effective <= p.at) AND (p.entity_id IS NULL OR s.entity_id = p.entity_id)
ORDER BY s.position, s.entity_id, s.part
