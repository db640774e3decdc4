-- Sequences that number the column $2 of a log ($1, its oid) and hand out ids in batches: their ids do not tell an order.
SELECT format('%I.%I', n.nspname, c.relname) AS name,
       s.seqcache AS cache
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
JOIN pg_depend AS d
    ON (d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.classid = 'pg_class'::regclass)
    OR (d.objid = f.oid AND d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass)
JOIN pg_sequence AS s ON s.seqrelid IN (d.objid, d.refobjid)
JOIN pg_class AS c ON c.oid = s.seqrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE a.attrelid = $1::bigint::oid
  AND a.attname = $2
  AND s.seqcache > 1
GROUP BY n.nspname, c.relname, s.seqcache
ORDER BY 1
