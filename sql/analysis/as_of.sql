-- The state of every live entity at an instant, inclusive: each version that held then.
-- A version that was replaced at the same instant has no length and is not seen; a null start is older than the log.
SELECT h.*
FROM history AS h
CROSS JOIN params AS p
WHERE (p.entity_id IS NULL OR h.entity_id = p.entity_id)
  AND (p.at IS NULL OR h.valid_from IS NULL OR h.valid_from <= p.at)
  AND (h.valid_to IS NULL OR (p.at IS NOT NULL AND h.valid_to > p.at))
ORDER BY h.entity_id
