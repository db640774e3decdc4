-- The children of parents at an instant: each child that held then, with the parent's key that it refers to.
SELECT h.*
FROM history AS h
CROSS JOIN params AS p
WHERE h.parent IS NOT NULL AND (p.parent IS NULL OR h.parent = p.parent)
  AND (p.at IS NULL OR h.valid_from IS NULL OR h.valid_from <= p.at)
  AND (h.valid_to IS NULL OR (p.at IS NOT NULL AND h.valid_to > p.at))
ORDER BY h.parent, h.entity_id
