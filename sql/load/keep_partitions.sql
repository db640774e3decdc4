-- Keep a log's partitions from being dropped while it is read: before the transaction's snapshot is taken.
LOCK TABLE audit.entity_change_log IN ACCESS SHARE MODE
