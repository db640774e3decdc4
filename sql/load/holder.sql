-- The oldest transaction of the cluster that has written and is still open: it holds the watermark. When any such began.
SELECT h.what,
       h.transaction::text::bigint AS transaction,
       h.since,
       min(h.since) OVER () AS earliest
FROM (
    SELECT format('pid %s (%s, %s) in database %s', a.pid, coalesce(a.usename, 'unknown'), coalesce(a.state, 'unknown'), a.datname) AS what,
           a.backend_xid AS transaction,
           a.xact_start AS since
    FROM pg_stat_activity AS a
    WHERE a.backend_xid IS NOT NULL
    UNION ALL
    SELECT format('prepared transaction %L of %s in database %s', p.gid, p.owner, p.database),
           p.transaction,
           p.prepared
    FROM pg_prepared_xacts AS p
) AS h
ORDER BY age(h.transaction) DESC
LIMIT 1
