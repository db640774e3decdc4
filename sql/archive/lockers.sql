-- Who holds a lock on any of these relations ($1, a JSON array of oids): the sessions in words, the longest first.
SELECT format('pid %s (%s%s, %s) since %s', a.pid, coalesce(a.usename, 'unknown'), ', ' || nullif(a.application_name, ''),
              coalesce(a.state, 'unknown'),
              to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')) AS what
FROM pg_stat_activity AS a
WHERE a.pid <> pg_backend_pid()
  AND EXISTS (
      SELECT FROM pg_locks AS k
      WHERE k.pid = a.pid AND k.granted AND k.locktype = 'relation'
        AND k.relation::bigint IN (SELECT jsonb_array_elements_text($1::jsonb)::bigint)
  )
ORDER BY a.xact_start
