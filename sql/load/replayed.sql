-- On a standby, when the last transaction that it has replayed was committed; null where it has replayed none yet.
SELECT pg_is_in_recovery() AS standby, pg_last_xact_replay_timestamp() AS replayed
