-- The entity id of a key that is no uuid: a uuid v8 from the SHA-256 of a length-prefixed text of type and key.
-- A key of one column counts by its value; a key of several by names and values, in the order of the names' bytes.
-- Python's auditlab.entity_uuid gives the same value.
CREATE OR REPLACE FUNCTION audit.key_text(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE jsonb_typeof(value)
        WHEN 'number' THEN regexp_replace(value #>> '{}', '\.0+$|(\.[0-9]*[1-9])0+$', '\1') ELSE value #>> '{}'
    END
$$;

CREATE OR REPLACE FUNCTION audit.prefixed(part text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT octet_length(convert_to(part, 'UTF8'))::text || ':' || part
$$;

CREATE OR REPLACE FUNCTION audit.uuid_of(canonical text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT overlay(
        overlay(left(encode(sha256(convert_to(canonical, 'UTF8')), 'hex'), 32) PLACING '8' FROM 13 FOR 1)
        PLACING '8' FROM 17 FOR 1
    )::uuid
$$;

CREATE OR REPLACE FUNCTION audit.entity_uuid(entity_type text, key jsonb) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT audit.uuid_of(audit.prefixed(entity_uuid.entity_type) || CASE count(*)
        WHEN 1 THEN string_agg(audit.prefixed(audit.key_text(part.value)), '')
        ELSE string_agg(
            audit.prefixed(part.key) || audit.prefixed(audit.key_text(part.value)), '' ORDER BY part.key COLLATE "C"
        )
    END)
    FROM jsonb_each(entity_uuid.key) AS part
$$;

CREATE OR REPLACE FUNCTION audit.key_of(image jsonb, keys text[]) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT jsonb_object_agg(name, key_of.image -> name) FROM unnest(key_of.keys) AS name
$$;

-- The id of the entity that an image shows; its arguments are plain columns, so that the planner inlines it.
-- `value` is the text of a key of one column.
CREATE OR REPLACE FUNCTION audit.id_of(entity_type text, image jsonb, value text, keys text[], is_uuid boolean)
RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN is_uuid THEN value::uuid
        WHEN keys[2] IS NULL THEN audit.uuid_of(audit.prefixed(entity_type) || audit.prefixed(value))
        ELSE audit.entity_uuid(entity_type, audit.key_of(image, keys))
    END
$$;

-- What goes into metadata: the context of the statement, and the key where the id does not hold it.
CREATE OR REPLACE FUNCTION audit.metadata_of(context jsonb, image jsonb, keys text[], is_uuid boolean) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN is_uuid THEN context
        WHEN keys[2] IS NULL THEN context || jsonb_build_object('key', jsonb_build_object(keys[1], image -> keys[1]))
        ELSE context || jsonb_build_object('key', audit.key_of(image, keys))
    END
$$;

-- Whether an UPDATE left the key as it was.
CREATE OR REPLACE FUNCTION audit.same_key(before jsonb, after jsonb, keys text[]) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT (before -> keys[1]) IS NOT DISTINCT FROM (after -> keys[1])
        AND (keys[2] IS NULL OR audit.key_of(before, keys) = audit.key_of(after, keys))
$$;

-- The numbers of a table's primary key columns, in the key's order; where there is none, of a column named id.
CREATE OR REPLACE FUNCTION audit.key_numbers(relation oid) RETURNS smallint[]
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(
        (SELECT string_to_array(i.indkey::text, ' ')::smallint[]
         FROM pg_index AS i WHERE i.indrelid = relation AND i.indisprimary),
        (SELECT ARRAY[a.attnum] FROM pg_attribute AS a
         WHERE a.attrelid = relation AND a.attname = 'id' AND NOT a.attisdropped)
    )
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'key_text(jsonb)', 'prefixed(text)', 'uuid_of(text)', 'entity_uuid(text, jsonb)', 'key_of(jsonb, text[])',
        'id_of(text, jsonb, text, text[], boolean)', 'metadata_of(jsonb, jsonb, text[], boolean)', 'same_key(jsonb, jsonb, text[])', 'key_numbers(oid)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION audit.%s OWNER TO auditlab_writer', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION audit.%s FROM PUBLIC', signature);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION audit.entity_uuid(text, jsonb), audit.key_text(jsonb), audit.prefixed(text), audit.uuid_of(text)
    TO auditlab_owner, auditlab_auditor, auditlab_archiver;
