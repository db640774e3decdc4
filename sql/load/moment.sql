-- The moment and the place of the snapshot that is read; a standby's own snapshot does not tell who is at work.
SELECT transaction_timestamp() AS now,
       (SELECT system_identifier::text FROM pg_control_system()) AS system,
       current_database()::text AS database,
       CASE WHEN NOT pg_is_in_recovery() THEN txid_current_snapshot()::text END AS snapshot,
       CASE WHEN NOT pg_is_in_recovery() THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END AS timeline,
       current_setting('track_commit_timestamp')::boolean AS commit_times
