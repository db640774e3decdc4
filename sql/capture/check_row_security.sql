-- No row security hides rows of the log from its readers, or of a tracked table from a baseline
SELECT
    CASE WHEN n.nspname = 'audit' THEN 'error' ELSE 'warning' END AS severity,
    format('%I.%I', n.nspname, c.relname) AS subject,
    CASE
        WHEN n.nspname = 'audit' THEN 'has row security: what a reader gets may be short'
        ELSE 'has row security: a TRUNCATE is recorded without the number of rows'
    END AS message,
    CASE
        WHEN n.nspname = 'audit' THEN format('ALTER TABLE %I.%I DISABLE ROW LEVEL SECURITY', n.nspname, c.relname)
        ELSE 'nothing to do, if that number does not matter'
    END AS remedy
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND (
    (n.nspname = 'audit' AND c.relname LIKE 'entity\_change\_log%')
    OR EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = 'auditlab_truncate')
)
ORDER BY 2
