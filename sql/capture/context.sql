-- What every trigger needs to know before it writes: who is at work, which columns are the key, what may not fit.
-- A user or correlation id that is no uuid never fails the write: it stands as it was in metadata.
CREATE OR REPLACE FUNCTION audit.capture_context(OUT changed_by uuid, OUT correlation_id uuid, OUT metadata jsonb)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    uuid_shape CONSTANT text := '^([0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}$';
    raw_user text := nullif(current_setting('app.current_user_id', true), '');
    raw_correlation text := nullif(current_setting('app.correlation_id', true), '');
    acting_role text := current_setting('role', true);
BEGIN
    metadata := jsonb_build_object(
        'session_user', session_user,
        'application_name', current_setting('application_name', true),
        'client_addr', host(inet_client_addr())
    );
    IF acting_role <> 'none' AND acting_role <> session_user THEN
        metadata := metadata || jsonb_build_object('role', acting_role);
    END IF;
    IF raw_user ~ uuid_shape THEN
        changed_by := raw_user::uuid;
    ELSIF raw_user IS NOT NULL THEN
        metadata := metadata || jsonb_build_object('app.current_user_id', left(raw_user, 1000));
    END IF;
    IF raw_correlation ~ uuid_shape THEN
        correlation_id := raw_correlation::uuid;
    ELSIF raw_correlation IS NOT NULL THEN
        metadata := metadata || jsonb_build_object('app.correlation_id', left(raw_correlation, 1000));
    END IF;
END
$$;

-- The names of the key's columns today (their numbers were noted when tracking began: names change), whether the key
-- is one uuid, whether a column's type may hold what jsonb cannot (json, and types with casts of their own), and which columns are
-- virtual: a trigger sees null in those, so that no image has them.
CREATE OR REPLACE FUNCTION audit.capture_key(
    relation oid, numbers smallint[], OUT keys text[], OUT is_uuid boolean, OUT careful boolean, OUT derived text[]
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    first_number smallint := numbers[array_lower(numbers, 1)];
    first_key text;
BEGIN
    -- 114 and 199 are json and json[], 2950 is uuid; types from 16384 on are not PostgreSQL's own.
    SELECT
        min(a.attname::text) FILTER (WHERE a.attnum = first_number),
        bool_or(
            a.atttypid = 2950
            OR (a.atttypid >= 16384 AND (SELECT t.typbasetype = 2950 FROM pg_type AS t WHERE t.oid = a.atttypid))
        ) FILTER (WHERE a.attnum = first_number),
        bool_or(
            a.atttypid IN (114, 199)
            OR (a.atttypid >= 16384 AND NOT EXISTS (
                SELECT FROM pg_type AS t
                WHERE t.oid = a.atttypid AND (
                    t.typtype = 'e'
                    OR (t.typbasetype BETWEEN 1 AND 16383 AND t.typbasetype NOT IN (114, 199))
                )
            ))
        ),
        coalesce(array_agg(a.attname::text) FILTER (WHERE a.attgenerated = 'v'), '{}')
    INTO first_key, is_uuid, careful, derived
    FROM pg_attribute AS a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
    IF cardinality(numbers) = 1 THEN
        keys := ARRAY[first_key];
    ELSE
        is_uuid := false;
        keys := ARRAY(
            SELECT a.attname::text
            FROM unnest(numbers) WITH ORDINALITY AS part (number, place)
            JOIN pg_attribute AS a ON a.attrelid = relation AND a.attnum = part.number
            WHERE NOT a.attisdropped
            ORDER BY part.place
        );
    END IF;
END
$$;

-- The key's name in the usual table: a key of one uuid, and no column that needs the care of capture_key; else null.
-- One short look at the catalog for every statement, since a table's columns change and its triggers' arguments do not.
-- A column to take care of comes first, then the key.
CREATE OR REPLACE FUNCTION audit.usual_key(relation oid, number smallint) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    name text;
    type oid;
BEGIN
    SELECT a.attname, a.atttypid INTO name, type
    FROM pg_attribute AS a
    WHERE a.attrelid = relation AND a.attnum > 0
        AND (a.attnum = number OR a.atttypid >= 16384 OR a.atttypid IN (114, 199) OR a.attgenerated = 'v')
    ORDER BY a.attnum = number
    LIMIT 1;
    RETURN CASE WHEN type = 2950 THEN name END;
END
$$;

-- The fields of a row's JSON, each value as it was written. PostgreSQL's own json_each stops at an escape that it cannot
-- decode, wherever it stands: so escapes sleep under another name while the row is taken apart. chr(92) is a backslash.
CREATE OR REPLACE FUNCTION audit.fields_of(document json) RETURNS TABLE (name text, value json)
LANGUAGE sql STABLE
AS $$
    SELECT field.key, replace(field.value::text, 'auditlab-escape-9b1c47e2', chr(92) || 'u')::json
    FROM json_each(replace(
        replace(
            replace(fields_of.document::text, chr(92) || chr(92), chr(1)), chr(92) || 'u', 'auditlab-escape-9b1c47e2'
        ), chr(1), chr(92) || chr(92)
    )::json) AS field
$$;

CREATE OR REPLACE FUNCTION audit.is_storable(value json) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN value::jsonb IS NOT NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END
$$;

-- The image of a row with values that jsonb cannot hold (a NUL escape, a lone surrogate, a number beyond numeric): those
-- stand in it as strings of their text.
CREATE OR REPLACE FUNCTION audit.safe_image(document json) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_object_agg(
        field.name,
        CASE WHEN audit.is_storable(field.value) THEN field.value::jsonb ELSE to_jsonb(field.value::text) END
    )
    FROM audit.fields_of(safe_image.document) AS field
$$;

-- The fields of a row whose values stand in its image as text, for its metadata; null where there are none.
CREATE OR REPLACE FUNCTION audit.text_fields(document json) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object('as_text', jsonb_agg(field.name))
    FROM audit.fields_of(text_fields.document) AS field
    WHERE NOT audit.is_storable(field.value)
    HAVING count(*) > 0
$$;

-- The fields whose values differ between two images, with their new values; an empty object where none does.
CREATE OR REPLACE FUNCTION audit.changed_fields(before jsonb, after jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')
    FROM jsonb_each(changed_fields.after) AS field
    WHERE field.value IS DISTINCT FROM changed_fields.before -> field.key
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'capture_context()', 'capture_key(oid, smallint[])', 'usual_key(oid, smallint)', 'fields_of(json)',
        'is_storable(json)', 'safe_image(json)', 'text_fields(json)', 'changed_fields(jsonb, jsonb)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION audit.%s OWNER TO auditlab_writer', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION audit.%s FROM PUBLIC', signature);
    END LOOP;
END
$$;
