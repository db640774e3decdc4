-- The entities that an id, or a key beside a derived id, names. Lines that end in "if <filter>" as in changes.sql.
SELECT DISTINCT l.entity_type::text AS entity_type,
       l.entity_id::text AS entity_id
FROM (SELECT * FROM audit.entity_change_log) AS l
WHERE l.entity_id IS NOT NULL
  AND l.entity_type IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entity_types')::jsonb)) -- if entity_types
  AND l.entity_id = current_setting('auditlab.entity')::uuid -- if entity
  AND l.metadata::jsonb -> 'key' = current_setting('auditlab.key')::jsonb -- if key
  AND CASE jsonb_typeof(l.metadata::jsonb -> 'key') WHEN 'object' THEN (SELECT count(*) = 1 AND min(k.value) = current_setting('auditlab.value') FROM jsonb_each_text(l.metadata::jsonb -> 'key') AS k) END -- if value
