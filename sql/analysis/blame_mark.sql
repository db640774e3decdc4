-- For each field of each entity that was there as a mark saw it: its value, who set it, when, in which change, from what.
-- seen has the version of each entity after the last of its changes that the mark saw; blame.sql says what a row is.
SELECT o.*
FROM field_origins AS o
JOIN seen AS s ON s.entity_id = o.entity_id
WHERE o.first_version <= s.version AND s.version <= o.last_version
ORDER BY o.entity_id, o.place
