-- Whether snapshots of entities are kept beside a log ($1, its schema), and this role may read all of them and their marks.
SELECT count(c.oid) = 3 AS there,
       coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid)), false) AS readable,
       current_user::text AS role
FROM pg_namespace AS n
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN ('snapshot', 'entity_snapshots', 'mark') AND c.relkind = 'r'
WHERE n.nspname = 'audit' AND $1::text = 'audit'
