-- Each row of a spine (entity, time) whose entity the log has, with the one span of that entity that holds the time.
-- The spans of an entity fill all time, one after the other: no row finds two, and one without entity or time none.
-- Each tells its line, so none need stand in order.
-- Times are microseconds since 1970, so that a span without a limit has the least or the greatest number as one.
SELECT s.line, t.word, t.number
FROM spine AS s
JOIN spans AS t ON s.entity = t.entity
WHERE t.since <= s.at AND t.until > s.at
