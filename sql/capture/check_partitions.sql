-- The partitions of this month and the next are there, and the default partition is empty
WITH months AS (
    SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead), 'YYYY_MM') AS month, ahead
    FROM generate_series(0, 1) AS ahead
)
SELECT
    'warning' AS severity,
    'audit.entity_change_log_' || m.month AS subject,
    'is missing: changes of that month go into the default partition' AS message,
    'auditlab partitions DSN' AS remedy
FROM months AS m
WHERE to_regclass('audit.entity_change_log_' || m.month) IS NULL
UNION ALL
SELECT 'warning', 'audit.entity_change_log_default', 'holds rows, which stand in the way of their months'' partitions',
    'auditlab partitions DSN'
WHERE CASE  -- by way of the log, which is all that an auditor may read; where nothing ever was in it, that is not looked through
    WHEN pg_relation_size('audit.entity_change_log_default') > 0 THEN EXISTS (
        SELECT FROM audit.entity_change_log AS l
        WHERE l.tableoid = 'audit.entity_change_log_default'::regclass AND isfinite(l.changed_at)
    )
END
ORDER BY 2
