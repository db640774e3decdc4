-- Whether a table ($1, its oid) was a log ($2, its oid) until auditlab init adopted that: it is the partition of all times
-- before, and the very transaction attached it that recorded the adoption, so that it was never detached since.
SELECT EXISTS (
    SELECT FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    JOIN audit.installation AS k ON k.xmin = i.xmin
    WHERE i.inhrelid = $1::bigint::oid
      AND i.inhparent = $2::bigint::oid
      AND NOT coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false)
      AND pg_get_expr(c.relpartbound, c.oid) LIKE 'FOR VALUES FROM (MINVALUE) TO %'
      AND k.action = 'adopted'
) AS found
