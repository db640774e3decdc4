-- Per entity the changes of the last transaction before a load begins. Lines that end in "if <filter>" as in changes.sql.
WITH log AS (
    SELECT * FROM audit.entity_change_log
), past AS (
    SELECT l.id,
           l.entity_type,
           l.transaction_id,
           first_value(l.id) OVER newest AS last_id,
           first_value(l.transaction_id) OVER newest AS last_transaction
    FROM log AS l
    WHERE l.changed_at < current_setting('auditlab.start')::timestamptz
      AND NOT EXISTS (
          SELECT FROM log AS n
          WHERE n.entity_type = l.entity_type
            AND n.entity_id = l.entity_id
            AND n.changed_at >= current_setting('auditlab.start')::timestamptz
            AND n.id < l.id
      )
      AND l.entity_type IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entity_types')::jsonb)) -- if entity_types
      AND (l.entity_id IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entities')::jsonb)::uuid) OR l.entity_id IS NULL) -- if entities
    WINDOW newest AS (PARTITION BY l.entity_type, l.entity_id ORDER BY l.id DESC)
)
SELECT l.*
FROM log AS l
JOIN past AS p ON p.id = l.id AND p.entity_type = l.entity_type
WHERE p.id = p.last_id OR p.transaction_id = p.last_transaction
