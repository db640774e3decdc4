-- Each row of a spine (entity, time) whose entity the log has, with the last span of that entity that began by its time.
-- As pit_join.sql, for entities of very many spans: both are sorted by time, and no row looks at each span.
-- No two spans of an entity begin at one time, so when it began tells which it is.
WITH moments AS (
  SELECT t.entity, t.since AS moment, 0 AS asked, NULL AS line
  FROM spans AS t
  UNION ALL
  SELECT s.entity, s.at AS moment, 1 AS asked, s.line
  FROM spine AS s
  WHERE s.entity IS NOT NULL AND s.at IS NOT NULL
),

placed AS (
  SELECT
    m.entity,
    m.line,
    max(CASE WHEN m.asked = 0 THEN m.moment END)
      OVER (PARTITION BY m.entity ORDER BY m.moment, m.asked ROWS UNBOUNDED PRECEDING) AS since
  FROM moments AS m
)

SELECT p.line, t.word, t.number
FROM placed AS p
JOIN spans AS t ON p.entity = t.entity AND p.since = t.since
WHERE p.line IS NOT NULL
