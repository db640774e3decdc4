-- The next transaction id of the snapshot that is read, which dates the short ids that rows carry.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS id
