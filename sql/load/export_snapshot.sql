-- Lets other connections read the very snapshot of this transaction, as long as it is open.
SELECT pg_export_snapshot() AS snapshot
