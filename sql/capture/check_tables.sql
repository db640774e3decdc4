-- Every table of the application is tracked
SELECT
    CASE WHEN p.indexrelid IS NULL THEN 'info' ELSE 'warning' END AS severity,
    format('%I.%I', n.nspname, c.relname) AS subject,
    CASE WHEN p.indexrelid IS NULL THEN 'has no primary key: it cannot be tracked' ELSE 'is not tracked' END AS message,
    CASE
        WHEN p.indexrelid IS NULL THEN format('ALTER TABLE %I.%I ADD PRIMARY KEY (...)', n.nspname, c.relname)
        ELSE format('auditlab track DSN %I.%I', n.nspname, c.relname)
    END AS remedy
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_index AS p ON p.indrelid = c.oid AND p.indisprimary
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'audit')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
        WHERE t.tgrelid = c.oid AND f.pronamespace = 'audit'::regnamespace
            AND (f.proname LIKE 'capture\_%' OR f.proname = 'log_entity_change')
    )
ORDER BY 2
