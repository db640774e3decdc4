-- Of the entity types that are asked for, those that the log has changes of.
SELECT wanted.name AS name
FROM jsonb_array_elements_text(current_setting('auditlab.entity_types')::jsonb) AS wanted (name)
WHERE EXISTS (
    SELECT FROM (SELECT * FROM audit.entity_change_log) AS l WHERE l.entity_type = wanted.name
)
