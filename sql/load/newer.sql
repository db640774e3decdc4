-- Rows of one partition that a transaction wrote which was not over in an earlier snapshot: all that can be new since.
SELECT l.*
FROM (SELECT * FROM audit.entity_change_log) AS l
WHERE l.place = ANY (ARRAY(
    SELECT r.ctid FROM ONLY audit.entity_change_log_leaf AS r
    WHERE age(r.xmin) <= age(current_setting('auditlab.since')::xid)
))
