-- Changes older than the load's start by their own time, but later in their entity's order than one that is inside it.
WITH log AS (
    SELECT * FROM audit.entity_change_log
)
SELECT l.*
FROM log AS l
WHERE l.changed_at < current_setting('auditlab.start')::timestamptz
  AND EXISTS (
      SELECT FROM log AS n
      WHERE n.entity_type = l.entity_type
        AND n.entity_id = l.entity_id
        AND n.changed_at >= current_setting('auditlab.start')::timestamptz
        AND n.id < l.id
  )
  AND l.entity_type IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entity_types')::jsonb)) -- if entity_types
  AND (l.entity_id IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entities')::jsonb)::uuid) OR l.entity_id IS NULL) -- if entities
