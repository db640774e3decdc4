-- The next transaction id of the snapshot that is read, which dates the short ids that rows carry.
SELECT txid_snapshot_xmax(txid_current_snapshot()) AS id
