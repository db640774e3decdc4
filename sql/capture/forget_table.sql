-- Forget a tracked table ($1) that is not there any more: it was dropped or renamed; the names that were forgotten.
DELETE FROM audit.tracked_table AS k
WHERE to_regclass(format('%I.%I', split_part(k.entity_type, '.', 1), substring(k.entity_type FROM '[.](.*)'))) IS NULL
    AND $1::text IN (
        k.entity_type, format('%I.%I', split_part(k.entity_type, '.', 1), substring(k.entity_type FROM '[.](.*)'))
    )
RETURNING k.entity_type
