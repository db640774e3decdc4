-- The leaves of a partitioned log ($1, its oid) in the order of their names, and whether this role may read them directly.
SELECT p.relid::oid::bigint AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind::text AS kind,
       pg_relation_size(c.oid) / current_setting('block_size')::bigint AS blocks,
       has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AS readable
FROM pg_partition_tree($1::bigint::oid::regclass) AS p
JOIN pg_class AS c ON c.oid = p.relid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.isleaf
ORDER BY n.nspname, c.relname
