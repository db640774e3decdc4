-- Whether the server's own log is on disk up to a place ($1).
SELECT pg_current_wal_flush_lsn() >= $1::text::pg_lsn AS flushed
