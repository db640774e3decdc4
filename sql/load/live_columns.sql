-- The columns of a live table ($1, its oid): type, whether virtual, whether jsonb may not hold it, what DDL filled in.
SELECT a.attname::text AS name,
       CASE
           WHEN t.typtype = 'e' THEN 'enum'
           WHEN t.typcategory = 'A' THEN coalesce(e.typname, t.typname)::text || '[]'
           ELSE t.typname::text
       END AS type,
       a.attgenerated = 'v' AS virtual,
       a.atttypid IN (114, 199) OR (
           a.atttypid >= 16384 AND d.typtype <> 'e'
           AND NOT (d.typbasetype BETWEEN 1 AND 16383 AND d.typbasetype NOT IN (114, 199))
       ) AS careful,
       CASE WHEN m.leaves = m.filled AND m.least IS NOT DISTINCT FROM m.greatest THEN m.least END AS missing
FROM pg_attribute AS a
JOIN pg_type AS d ON d.oid = a.atttypid
JOIN pg_type AS t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
LEFT JOIN pg_type AS e ON e.oid = t.typelem
CROSS JOIN LATERAL (
    SELECT count(*) AS leaves,
           count(*) FILTER (WHERE leaf.atthasmissing) AS filled,
           min((to_jsonb(leaf.attmissingval) -> 0)::text) AS least,
           max((to_jsonb(leaf.attmissingval) -> 0)::text) AS greatest
    FROM pg_attribute AS leaf
    WHERE leaf.attname = a.attname AND NOT leaf.attisdropped
      AND leaf.attrelid IN (
          SELECT tree.relid FROM pg_partition_tree(a.attrelid) AS tree WHERE tree.isleaf
          UNION ALL
          SELECT a.attrelid WHERE NOT EXISTS (SELECT FROM pg_partition_tree(a.attrelid))
      )
) AS m
WHERE a.attrelid = $1::bigint::oid
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attnum
