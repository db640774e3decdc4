-- The transaction id below which this snapshot shows all that will ever be there; what else says where a reader stands.
SELECT txid_snapshot_xmin(txid_current_snapshot()) AS transaction,
       txid_snapshot_xmax(txid_current_snapshot()) AS next,
       CASE
           WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
           ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
       END AS timeline,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn()::text END AS lsn
