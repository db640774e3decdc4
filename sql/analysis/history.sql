-- Every version of every entity, or of one, with the time that it held.
SELECT h.*
FROM history AS h
CROSS JOIN params AS p
WHERE p.entity_id IS NULL OR h.entity_id = p.entity_id
ORDER BY h.entity_id, h.version
