-- Nobody but auditlab's own roles may write to the log, nobody logs in as them, and everybody's transactions can be seen
SELECT 'error' AS severity, acl.grantee_name AS subject,
    format('may %s %s', string_agg(DISTINCT acl.privilege_type, ', '), acl.relation) AS message,
    format('REVOKE ALL ON %s FROM %s', acl.relation, acl.grantee_name) AS remedy
FROM (
    SELECT
        CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END AS grantee_name, x.privilege_type,
        c.oid::regclass::text AS relation
    FROM pg_class AS c, aclexplode(c.relacl) AS x
    WHERE c.relnamespace = 'audit'::regnamespace AND x.grantee <> c.relowner
        AND (c.relname LIKE 'entity\_change\_log%' OR c.relname IN ('entity_snapshots', 'snapshot', 'mark'))
        AND x.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES', 'USAGE')
        AND x.grantee NOT IN (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = 'auditlab_writer')
) AS acl
GROUP BY acl.grantee_name, acl.relation
UNION ALL
SELECT 'error', r.rolname::text, 'can log in: nobody should act as this role', format('ALTER ROLE %I NOLOGIN', r.rolname)
FROM pg_roles AS r WHERE r.rolname IN ('auditlab_owner', 'auditlab_writer') AND r.rolcanlogin
UNION ALL
SELECT 'warning', current_user::text, 'does not see others'' transactions: who holds the watermark may be missing here',
    format('GRANT pg_read_all_stats TO %I', current_user)
WHERE NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
ORDER BY 2, 3
