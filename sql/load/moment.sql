-- The moment and the place of the snapshot that is read.
SELECT transaction_timestamp() AS now,
       (SELECT system_identifier::text FROM pg_control_system()) AS system,
       current_database()::text AS database
