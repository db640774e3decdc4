-- Entity types that our capture tracks without having written down the rows that were there before.
SELECT t.entity_type AS name
FROM audit.tracked_table AS t
WHERE NOT t.baseline
ORDER BY name
