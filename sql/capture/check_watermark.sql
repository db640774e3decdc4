-- Nobody holds the watermark: a transaction left open hides every later change from incremental readers
WITH holders AS (
    SELECT
        format('pid %s in database %s', a.pid, a.datname) AS subject,
        format('%s (%s) holds transaction %s open since %s', a.usename, a.state, a.backend_xid, now() - a.xact_start) AS message,
        format('SELECT pg_terminate_backend(%s)', a.pid) AS remedy,
        a.xact_start AS since
    FROM pg_stat_activity AS a
    WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
    UNION ALL
    SELECT format('prepared transaction %L in database %s', p.gid, p.database),
        format('%s prepared transaction %s, and nobody has ended it since %s', p.owner, p.transaction, now() - p.prepared),
        format('ROLLBACK PREPARED %L', p.gid), p.prepared
    FROM pg_prepared_xacts AS p
)
SELECT
    CASE WHEN h.since < now() - interval '5 minutes' OR h.subject LIKE 'prepared%' THEN 'warning' ELSE 'info' END AS severity,
    h.subject, h.message, h.remedy
FROM holders AS h
ORDER BY h.since
