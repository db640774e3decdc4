-- The columns of a relation ($1, its oid) with their types; a domain counts as the type beneath it.
SELECT a.attname::text AS name,
       CASE WHEN t.typtype = 'e' THEN 'enum' ELSE t.typname::text END AS type,
       format_type(a.atttypid, a.atttypmod) AS declared
FROM pg_attribute AS a
JOIN pg_type AS d ON d.oid = a.atttypid
JOIN pg_type AS t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
WHERE a.attrelid = $1::bigint::oid
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attnum
