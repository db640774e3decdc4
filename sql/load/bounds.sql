-- The partitions of a log ($1, its oid; $2, its time's column): the span of time that each is for, as text in UTC, and whose.
SELECT c.oid::bigint AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind::text AS kind,
       pg_relation_size(c.oid) / current_setting('block_size')::bigint AS blocks,
       has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AS readable,
       pg_total_relation_size(c.oid) AS bytes,
       pg_get_userbyid(c.relowner)::text AS owner,
       pg_get_userbyid(l.relowner)::text AS log_owner,
       CASE WHEN pg_has_role(l.relowner, c.relowner, 'MEMBER') THEN ''
            ELSE format('ALTER TABLE %I.%I OWNER TO %I', n.nspname, c.relname, pg_get_userbyid(l.relowner)) END AS mend,
       pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default,
       coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false) AS detaching,
       p.partstrat = 'r' AND coalesce(a.attname::text = $2::text, false) AS by_time,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $re$ FROM \('(\d[^']*)'$re$) AS first,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $re$ TO \('(\d[^']*)'$re$) AS last
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS l ON l.oid = i.inhparent
JOIN pg_partitioned_table AS p ON p.partrelid = i.inhparent
LEFT JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = (p.partattrs::smallint[])[0]
WHERE i.inhparent = $1::bigint::oid
ORDER BY pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT', n.nspname, c.relname
