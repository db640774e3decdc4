-- The table that a name ($1) means, as SQL would write it; where there is none, the names that share most of its letters.
WITH asked AS (
    SELECT lower(replace($1::text, '"', '')) AS name, to_regclass($1::text) AS relation
),
tables AS (
    SELECT format('%I.%I', n.nspname, c.relname) AS full_name, lower(c.relname) AS short_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'audit')
        AND n.nspname NOT LIKE 'pg\_t%'
),
pairs AS (
    SELECT t.full_name, CASE WHEN t.short_name = a.short_name THEN 1 ELSE (
        SELECT count(*) FROM (
            SELECT substr(t.short_name, i, 2) FROM generate_series(1, length(t.short_name) - 1) AS i
            INTERSECT
            SELECT substr(a.short_name, i, 2) FROM generate_series(1, length(a.short_name) - 1) AS i
        ) AS shared
    ) * 2.0 / greatest(1, length(t.short_name) + length(a.short_name) - 2) END AS likeness
    FROM tables AS t, (SELECT regexp_replace(asked.name, '^.*[.]', '') AS short_name FROM asked) AS a
)
SELECT
    (SELECT format('%I.%I', n.nspname, c.relname)
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = asked.relation) AS relation,
    ARRAY(SELECT p.full_name FROM pairs AS p WHERE p.likeness > 0.3 ORDER BY p.likeness DESC, p.full_name LIMIT 5) AS near
FROM asked
