-- The recorded time of one row ($1, its id), as text: for the message about a time that cannot be represented.
SELECT l.changed_at::text AS value
FROM (SELECT * FROM audit.entity_change_log) AS l
WHERE l.id = $1
LIMIT 1
