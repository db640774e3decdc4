-- The rows of a live table as a log has them, and the transaction that wrote each. Lines that end in "if <case>" stay in that case.
SELECT
       live.key ->> 0 AS entity_id, -- if column
       overlay(overlay(left(encode(sha256(convert_to(current_setting('auditlab.live_type') || octet_length(convert_to(one.value, 'UTF8')) || ':' || one.value, 'UTF8')), 'hex'), 32) PLACING '8' FROM 13 FOR 1) PLACING '8' FROM 17 FOR 1)::uuid::text AS entity_id, -- if key
       overlay(overlay(left(encode(sha256(convert_to(current_setting('auditlab.live_type') || every.canonical, 'UTF8')), 'hex'), 32) PLACING '8' FROM 13 FOR 1) PLACING '8' FROM 17 FOR 1)::uuid::text AS entity_id, -- if keys
       live.plain AS image, -- if plain
       CASE WHEN live.doubtful ~ '\\u|[eE][-+]?[0-9]{4}' THEN live.verbatim ELSE live.plain END AS image, -- if careful
       live.written AS written
FROM (
    SELECT (to_jsonb(r.*) - '{}'::text[])::text AS plain,
           row_to_json(r.*)::text AS verbatim,
           concat(row_to_json(r.*)) AS doubtful,
           jsonb_build_array(r.id) AS key,
           r.xmin::text::bigint AS written
    FROM ONLY audit.entity_change_log AS r
) AS live
CROSS JOIN LATERAL (SELECT CASE jsonb_typeof(live.key -> 0) WHEN 'number' THEN regexp_replace(live.key ->> 0, '\.0+$|(\.[0-9]*[1-9])0+$', '\1') ELSE live.key ->> 0 END AS value) AS one -- if key
CROSS JOIN LATERAL ( -- if keys
    SELECT string_agg(octet_length(convert_to(name.value, 'UTF8')) || ':' || name.value || octet_length(convert_to(part.text, 'UTF8')) || ':' || part.text, '' ORDER BY name.place) AS canonical -- if keys
    FROM jsonb_array_elements_text(current_setting('auditlab.live_names')::jsonb) WITH ORDINALITY AS name (value, place) -- if keys
    CROSS JOIN LATERAL (SELECT CASE jsonb_typeof(live.key -> (name.place - 1)::int) WHEN 'number' THEN regexp_replace(live.key ->> (name.place - 1)::int, '\.0+$|(\.[0-9]*[1-9])0+$', '\1') ELSE live.key ->> (name.place - 1)::int END AS text) AS part -- if keys
) AS every -- if keys
