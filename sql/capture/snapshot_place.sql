-- Where a snapshot of the entities can be taken: whether this is a standby, whether it is installed, and whether this role may.
SELECT pg_is_in_recovery() AS standby,
       current_user::text AS role,
       count(p.oid) > 0 AS there,
       coalesce(bool_or(has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')), false) AS allowed
FROM pg_namespace AS n
LEFT JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = 'take_snapshot'
WHERE n.nspname = 'audit'
