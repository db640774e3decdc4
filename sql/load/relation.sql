-- The relation behind a name ($1, as SQL writes it: quoted where it must be), and what this role may do with it.
SELECT c.oid::bigint AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind::text AS kind,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint ELSE 0 END AS blocks,
       row_security_active(c.oid) AS row_security,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       current_user::text AS role
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1)
