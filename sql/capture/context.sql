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
-- is one uuid, and whether a column's type may hold what jsonb cannot (json, and types with casts of their own).
CREATE OR REPLACE FUNCTION audit.capture_key(
    relation oid, numbers smallint[], OUT keys text[], OUT is_uuid boolean, OUT careful boolean
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    plain CONSTANT oid[] := ARRAY[
        16, 17, 18, 19, 20, 21, 23, 25, 26, 650, 700, 701, 774, 790, 829, 869, 1042, 1043, 1082, 1083, 1114, 1184,
        1186, 1266, 1560, 1562, 1700, 2950, 3220, 3614, 3802, 3904, 3906, 3908, 3910, 3912, 3926,
        1000, 1001, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1115, 1182, 1185, 1231, 2951, 3807
    ];
BEGIN
    SELECT
        array_agg(a.attname::text ORDER BY array_position(numbers, a.attnum)) FILTER (WHERE a.attnum = ANY (numbers)),
        bool_and(
            a.atttypid = 2950
            OR (a.atttypid <> ALL (plain) AND (SELECT t.typbasetype = 2950 FROM pg_type AS t WHERE t.oid = a.atttypid))
        ) FILTER (WHERE a.attnum = ANY (numbers)),
        bool_or(
            a.atttypid <> ALL (plain)
            AND NOT EXISTS (
                SELECT FROM pg_type AS t WHERE t.oid = a.atttypid AND (t.typtype = 'e' OR t.typbasetype = ANY (plain))
            )
        )
    INTO keys, is_uuid, careful
    FROM pg_attribute AS a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
    keys := coalesce(keys, '{}');
    is_uuid := coalesce(is_uuid, false) AND cardinality(numbers) = 1;
END
$$;

-- One value as jsonb where that can be, else as a string of its text, else (too large even for that) null.
CREATE OR REPLACE FUNCTION audit.safe_value(value json) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN value::jsonb;
EXCEPTION WHEN OTHERS THEN
    BEGIN
        RETURN to_jsonb(value::text);
    EXCEPTION WHEN OTHERS THEN
        RETURN 'null'::jsonb;
    END;
END
$$;

-- The image of a row with values that jsonb cannot hold (a NUL escape, a lone surrogate, a number beyond numeric).
CREATE OR REPLACE FUNCTION audit.safe_image(document json) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_object_agg(field.key, audit.safe_value(field.value)) FROM json_each(safe_image.document) AS field;
END;

-- The fields of a row whose values stand in its image as text, for its metadata; null where there are none.
CREATE OR REPLACE FUNCTION audit.text_fields(document json) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object('as_text', jsonb_agg(field.key))
    FROM json_each(text_fields.document) AS field
    WHERE json_typeof(field.value) <> coalesce(jsonb_typeof(audit.safe_value(field.value)), '')
    HAVING count(*) > 0;
END;

-- The fields whose values differ between two images, with their new values; an empty object where none does.
CREATE OR REPLACE FUNCTION audit.changed_fields(before jsonb, after jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')
    FROM jsonb_each(changed_fields.after) AS field
    WHERE field.value IS DISTINCT FROM changed_fields.before -> field.key;
END;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'capture_context()', 'capture_key(oid, smallint[])', 'safe_value(json)', 'safe_image(json)',
        'text_fields(json)', 'changed_fields(jsonb, jsonb)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION audit.%s OWNER TO auditlab_writer', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION audit.%s FROM PUBLIC', signature);
    END LOOP;
END
$$;
