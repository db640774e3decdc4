-- Who did what when, field by field: one row a changed field; a change that changed nothing has one row of its own.
SELECT
  c.position, c.changed_at, c.changed_by, c.operation, c.entity_type, c.entity_id,
  d.field, d.kind, d.old, d.new, c.id, c.transaction_id, d.place
FROM entity_changes AS c
LEFT JOIN field_changes AS d ON c.position = d.position AND c.entity_id = d.entity_id
CROSS JOIN params AS p
WHERE p.entity_id IS NULL OR c.entity_id = p.entity_id
ORDER BY c.position, c.entity_id, d.place NULLS FIRST
