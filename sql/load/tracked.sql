-- The entity types that our capture tracks, and whether their rows of before were written into the log.
SELECT t.entity_type AS name,
       t.baseline AS baseline
FROM audit.tracked_table AS t
ORDER BY name
