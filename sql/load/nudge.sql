-- Has the server write its own log to disk up to here soon: an idle one leaves the end of it in memory for seconds.
SELECT pg_logical_emit_message(false, 'auditlab', '')::text AS lsn
