-- Recorded values ($1, a JSON array of objects of one field) as the live table's own type ($2 names the field) reads and writes them.
SELECT (to_jsonb(jsonb_populate_record(NULL::audit.entity_change_log, part.value)) -> $2::text)::text AS value
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS part (value, place)
ORDER BY part.place
