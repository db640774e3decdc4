-- Each row of a spine (entity, valid time, known time) with the record that counted: what was true, as known by then.
-- A record is believed from its recording until its withdrawal; of those that are valid the greatest rank counts.
WITH best AS (
  SELECT
    s.line,
    max(CASE WHEN r.valid_from IS NULL OR r.valid_from <= s.at THEN r.rank END) AS rank,
    min(r.certain) AS certain
  FROM spine AS s
  JOIN records AS r ON s.entity = r.entity
  WHERE s.at IS NOT NULL
    AND (r.recorded IS NULL OR r.recorded <= s.known) AND (r.withdrawn IS NULL OR r.withdrawn > s.known)
  GROUP BY s.line
)
SELECT
  s.line,
  CASE WHEN r.presence = 'not yet' AND b.certain = 0 THEN 'not recorded' ELSE r.presence END AS presence,
  r.number,
  b.certain
FROM spine AS s
LEFT JOIN best AS b ON s.line = b.line
LEFT JOIN records AS r ON b.rank = r.rank
ORDER BY s.line
