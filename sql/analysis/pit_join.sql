-- Each row of a spine (entity, time) with the one span of its entity that holds that time; no row is lost or doubled.
-- The spans of an entity fill all time, one after the other; an entity that the log does not have finds none.
WITH found AS (
  SELECT s.line, t.presence, t.number
  FROM spine AS s
  JOIN spans AS t ON s.entity = t.entity
  WHERE (t.valid_from IS NULL OR t.valid_from <= s.at) AND (t.valid_to IS NULL OR t.valid_to > s.at)
)
SELECT s.line, f.presence, f.number
FROM spine AS s
LEFT JOIN found AS f ON s.line = f.line
ORDER BY s.line
