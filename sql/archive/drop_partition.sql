-- Take a partition out of its log and drop it.
ALTER TABLE audit.entity_change_log DETACH PARTITION audit.entity_change_log_leaf;
DROP TABLE audit.entity_change_log_leaf
