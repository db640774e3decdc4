-- Tables that have the columns of a change log, for the message when the one that was asked for is not there.
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND a.attname IN ('entity_type', 'entity_id', 'operation', 'changed_at')
GROUP BY n.nspname, c.relname
HAVING count(*) >= 3
ORDER BY name
LIMIT 5
