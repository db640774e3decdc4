-- Whether a log tells which transaction made a change; one that is empty still may.
SELECT EXISTS (SELECT FROM (SELECT * FROM audit.entity_change_log) AS l WHERE l.transaction_id IS NOT NULL)
    OR NOT EXISTS (SELECT FROM (SELECT * FROM audit.entity_change_log) AS l) AS found
