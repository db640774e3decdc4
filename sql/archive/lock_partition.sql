-- Keep writers out of one partition; readers, and writers of the others, go on.
LOCK TABLE audit.entity_change_log_leaf IN SHARE MODE
