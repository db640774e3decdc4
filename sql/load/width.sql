-- How many bytes of text a change has, from the first rows that the log gives.
SELECT avg(coalesce(octet_length(s.before_snapshot::text), 0) + coalesce(octet_length(s.after_snapshot::text), 0)
         + coalesce(octet_length(s.changed_fields::text), 0) + coalesce(octet_length(s.metadata::text), 0))::float8 AS bytes
FROM (SELECT l.* FROM (SELECT * FROM audit.entity_change_log) AS l LIMIT 500) AS s
