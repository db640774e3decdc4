-- Where a mark can be kept: whether this is a standby, whether marks have a table, and whether this role may add to it.
SELECT pg_is_in_recovery() AS standby,
       current_user::text AS role,
       EXISTS (
           SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
           WHERE n.nspname = 'audit' AND p.proname = 'take_mark'
       ) AS there,
       EXISTS (
           SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
           WHERE n.nspname = 'audit' AND p.proname = 'take_mark'
             AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
       ) AS allowed
