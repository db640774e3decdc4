-- Two marks against each other: every field whose value at the end is not the one at the start.
-- at_start and at_end hold each field of each entity that was there as the marks saw it; equal values have equal codes.
SELECT
  COALESCE(a.entity_id, b.entity_id) AS entity_id,
  COALESCE(a.field, b.field) AS field,
  COALESCE(a.place, b.place) AS place,
  CASE WHEN a.code IS NULL THEN 'added' WHEN b.code IS NULL THEN 'removed' ELSE 'modified' END AS kind,
  a.text AS old,
  b.text AS new
FROM at_start AS a
FULL JOIN at_end AS b ON a.entity_id = b.entity_id AND a.place = b.place
WHERE a.code IS NULL OR b.code IS NULL OR a.code <> b.code
ORDER BY entity_id, place
