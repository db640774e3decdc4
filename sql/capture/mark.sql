-- The moment as a mark ($1, its name), kept nowhere: what is committed now, between two looks at the server's clock.
SELECT transaction_timestamp() AS began,
       clock_timestamp() AS at,
       txid_current_snapshot()::text AS snapshot,
       pg_current_wal_lsn()::text AS lsn,
       (SELECT system_identifier::text FROM pg_control_system()) AS system,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer AS timeline,
       current_database()::text AS database,
       $1::text AS name
