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
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
       row_security_active(c.oid) AS row_security,
       current_user::text AS role
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname || '.' || c.relname IN (SELECT jsonb_array_elements_text($1::jsonb))
ORDER BY entity_type
