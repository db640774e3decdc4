-- The kind of value of every column of the source's tables, as the catalog declares it.
SELECT n.nspname || '.' || c.relname AS entity_type,
       a.attname::text AS field,
       CASE
           WHEN e.typname IN ('timestamptz', 'bytea', 'interval') THEN e.typname || '[]'
           WHEN t.typcategory = 'A' THEN 'array'
           WHEN t.typname IN ('int2', 'int4', 'int8') THEN 'int'
           WHEN t.typname = 'numeric' THEN 'decimal'
           WHEN t.typname IN ('float4', 'float8') THEN 'float'
           WHEN t.typname = 'bool' THEN 'bool'
           WHEN t.typname IN ('json', 'jsonb') OR t.typtype = 'c' THEN 'json'
           WHEN t.typname IN ('date', 'timestamp', 'timestamptz', 'time', 'interval', 'bytea', 'uuid') THEN t.typname::text
           WHEN t.typname IN ('tstzrange', 'tstzmultirange') THEN 'tstzrange'
           ELSE 'text'
       END AS kind
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS d ON d.oid = a.atttypid
JOIN pg_type AS t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
LEFT JOIN pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\_toast%'
  AND n.nspname NOT LIKE 'pg\_temp%'
ORDER BY entity_type, a.attnum
