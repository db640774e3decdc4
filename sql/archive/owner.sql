-- The role that owns a relation ($1, its oid), and whether this one may act as it.
SELECT pg_get_userbyid(c.relowner)::text AS owner,
       pg_has_role(c.relowner, 'MEMBER') AS member,
       current_user::text AS role
FROM pg_class AS c
WHERE c.oid = $1::bigint::oid
