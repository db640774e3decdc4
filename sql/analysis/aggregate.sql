-- The children of parents at an instant: each child that held then, by the key of the one parent that it refers to.
SELECT h.*
FROM history AS h
JOIN parents AS q ON h.parent = q.parent
CROSS JOIN params AS p
WHERE (p.at IS NULL OR h.valid_from IS NULL OR h.valid_from <= p.at)
  AND (h.valid_to IS NULL OR (p.at IS NOT NULL AND h.valid_to > p.at))
ORDER BY h.parent, h.entity_id
