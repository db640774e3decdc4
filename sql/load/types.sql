-- All entity types of a log: for the message when one that is asked for is not there.
SELECT DISTINCT l.entity_type::text AS name
FROM (SELECT * FROM audit.entity_change_log) AS l
ORDER BY name
