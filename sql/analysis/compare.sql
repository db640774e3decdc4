-- Two instants against each other: every field whose value at the end is not the one at the start.
-- An entity that was absent has no fields there, so all of them were added, or removed. Equal values have equal codes.
-- One of which the log does not tell what it was at one of the two is left out.
WITH untold_then AS (
  SELECT DISTINCT u.entity_id
  FROM untold AS u
  CROSS JOIN params AS p
  WHERE ((u.valid_from IS NULL OR u.valid_from <= p.start_at) AND (u.valid_to IS NULL OR u.valid_to > p.start_at))
    OR ((u.valid_from IS NULL OR u.valid_from <= p.end_at) AND (u.valid_to IS NULL OR u.valid_to > p.end_at))
),
told AS (
  SELECT s.*
  FROM field_states AS s
  LEFT JOIN untold_then AS u ON s.entity_id = u.entity_id
  WHERE u.entity_id IS NULL
),
at_start AS (
  SELECT s.entity_id, s.field, s.place, s.code, s.text
  FROM told AS s
  CROSS JOIN params AS p
  WHERE (s.valid_from IS NULL OR s.valid_from <= p.start_at) AND (s.valid_to IS NULL OR s.valid_to > p.start_at)
    AND (p.entity_id IS NULL OR s.entity_id = p.entity_id)
),
at_end AS (
  SELECT s.entity_id, s.field, s.place, s.code, s.text
  FROM told AS s
  CROSS JOIN params AS p
  WHERE (s.valid_from IS NULL OR s.valid_from <= p.end_at) AND (s.valid_to IS NULL OR s.valid_to > p.end_at)
    AND (p.entity_id IS NULL OR s.entity_id = p.entity_id)
)
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
