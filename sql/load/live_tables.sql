-- The relations behind entity types ($1, a JSON array of names): their keys, what they hold, and what this role may read.
SELECT n.nspname || '.' || c.relname AS entity_type,
       c.oid::bigint AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind::text AS kind,
       (
           SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint
           FROM pg_class AS leaf
           WHERE leaf.oid = c.oid OR leaf.oid IN (SELECT tree.relid FROM pg_partition_tree(c.oid) AS tree WHERE tree.isleaf)
       ) AS rows,
       (
           SELECT jsonb_agg(a.attname ORDER BY part.place)::text
           FROM pg_index AS i
           CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS part (number, place)
           JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = part.number
           WHERE i.indrelid = c.oid AND i.indisprimary AND part.place <= i.indnkeyatts
       ) AS keys,
       EXISTS (
           SELECT FROM pg_attribute AS a
           JOIN pg_type AS t ON t.oid = a.atttypid
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             AND (
                 a.atttypid IN (114, 199)
                 OR (
                     a.atttypid >= 16384 AND t.typtype <> 'e'
                     AND NOT (t.typbasetype BETWEEN 1 AND 16383 AND t.typbasetype NOT IN (114, 199))
                 )
             )
       ) AS careful,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
       row_security_active(c.oid) AS row_security,
       current_user::text AS role
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname || '.' || c.relname IN (SELECT jsonb_array_elements_text($1::jsonb))
ORDER BY entity_type
