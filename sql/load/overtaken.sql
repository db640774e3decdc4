-- Ids of changes older than the load's end by their own time, but later in their entity's order than one after it.
WITH log AS (
    SELECT * FROM audit.entity_change_log
)
SELECT l.id::bigint AS id
FROM log AS l
WHERE l.changed_at < current_setting('auditlab.end')::timestamptz
  AND EXISTS (
      SELECT FROM log AS n
      WHERE n.entity_type = l.entity_type
        AND n.entity_id = l.entity_id
        AND n.changed_at >= current_setting('auditlab.end')::timestamptz
        AND n.id < l.id
  )
