-- For each field of each live entity at an instant: its value, who last set it, when, in which change, and from what.
-- Each row of field_origins is a value for as long as one setting of it held; equal values are one setting.
SELECT o.*
FROM field_origins AS o
CROSS JOIN params AS p
WHERE (p.entity_id IS NULL OR o.entity_id = p.entity_id)
  AND (p.at IS NULL OR o.valid_from IS NULL OR o.valid_from <= p.at)
  AND (o.valid_to IS NULL OR (p.at IS NOT NULL AND o.valid_to > p.at))
ORDER BY o.entity_id, o.place
