-- The statement triggers: one set-based insert into the log a statement, however many rows it touched.
-- old_rows and new_rows are the transition tables as track.sql names them. Names that could meet a column of the
-- application's are qualified throughout, what is passed to the functions of keys.sql is a plain column (only then are
-- they inlined, which halves the cost), and what is rendered is pinned by the SET clauses, whatever the session has.
-- Each begins with the usual table (audit.usual_key) written out without its cases: a statement of one row, which most
-- applications send, costs little more than the look at the catalog and the insert.

CREATE OR REPLACE FUNCTION audit.capture_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
SET bytea_output = 'hex'
SET intervalstyle = 'postgres'
SET datestyle = 'ISO, MDY'
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
<<capture>>
DECLARE
    type_name text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    usual_key text := CASE WHEN TG_NARGS = 1 THEN audit.usual_key(TG_RELID, TG_ARGV[0]::smallint) END;
    keys text[];
    is_uuid boolean;
    key record;
    derived text[];
    unstorable boolean := false;
    who record;
    context jsonb;
BEGIN
    who := audit.capture_context();
    IF usual_key IS NOT NULL THEN  -- what follows, with all its cases decided
        INSERT INTO audit.entity_change_log (
            entity_type, entity_id, operation, changed_by, after_snapshot, metadata, transaction_id, correlation_id
        )
        SELECT
            type_name, (entity.image ->> usual_key)::uuid, 'INSERT', who.changed_by, entity.image, who.metadata,
            txid_current(), who.correlation_id
        FROM (SELECT to_jsonb(r.*) AS image FROM new_rows AS r OFFSET 0) AS entity;
        RETURN NULL;
    END IF;
    key := audit.capture_key(TG_RELID, TG_ARGV::smallint[]);
    keys := key.keys;
    is_uuid := key.is_uuid;
    derived := key.derived;
    context := who.metadata;
    IF key.careful THEN
        BEGIN
            PERFORM count(to_jsonb(r.*)) FROM new_rows AS r;
        EXCEPTION WHEN OTHERS THEN
            unstorable := true;
        END;
    END IF;
    INSERT INTO audit.entity_change_log (
        entity_type, entity_id, operation, changed_by, after_snapshot, metadata, transaction_id, correlation_id
    )
    SELECT
        type_name, audit.id_of(type_name, entity.image, entity.value, keys, is_uuid), 'INSERT', who.changed_by, entity.image,
        audit.metadata_of(entity.context, entity.image, keys, is_uuid),
        txid_current(), who.correlation_id
    FROM (
        SELECT bare.image, bare.context, CASE WHEN is_uuid THEN bare.image ->> keys[1] ELSE audit.key_text(bare.image -> keys[1]) END AS value
        FROM (
            SELECT
                CASE
                    WHEN capture.unstorable THEN audit.safe_image(row_to_json(r.*)) - capture.derived
                    WHEN capture.derived <> '{}' THEN to_jsonb(r.*) - capture.derived
                    ELSE to_jsonb(r.*)
                END AS image,
                CASE
                    WHEN capture.unstorable
                    THEN coalesce(capture.context || audit.text_fields(row_to_json(r.*)), capture.context)
                    ELSE capture.context
                END AS context
            FROM new_rows AS r
            OFFSET 0
        ) AS bare
        OFFSET 0
    ) AS entity;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION audit.capture_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
SET bytea_output = 'hex'
SET intervalstyle = 'postgres'
SET datestyle = 'ISO, MDY'
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
<<capture>>
DECLARE
    type_name text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    usual_key text := CASE WHEN TG_NARGS = 1 THEN audit.usual_key(TG_RELID, TG_ARGV[0]::smallint) END;
    keys text[];
    is_uuid boolean;
    key record;
    derived text[];
    unstorable boolean := false;
    who record;
    context jsonb;
BEGIN
    who := audit.capture_context();
    IF usual_key IS NOT NULL THEN  -- what follows, with all its cases decided
        INSERT INTO audit.entity_change_log (
            entity_type, entity_id, operation, changed_by, before_snapshot, metadata, transaction_id, correlation_id
        )
        SELECT
            type_name, (entity.image ->> usual_key)::uuid, 'DELETE', who.changed_by, entity.image, who.metadata,
            txid_current(), who.correlation_id
        FROM (SELECT to_jsonb(r.*) AS image FROM old_rows AS r OFFSET 0) AS entity;
        RETURN NULL;
    END IF;
    key := audit.capture_key(TG_RELID, TG_ARGV::smallint[]);
    keys := key.keys;
    is_uuid := key.is_uuid;
    derived := key.derived;
    context := who.metadata;
    IF key.careful THEN
        BEGIN
            PERFORM count(to_jsonb(r.*)) FROM old_rows AS r;
        EXCEPTION WHEN OTHERS THEN
            unstorable := true;
        END;
    END IF;
    INSERT INTO audit.entity_change_log (
        entity_type, entity_id, operation, changed_by, before_snapshot, metadata, transaction_id, correlation_id
    )
    SELECT
        type_name, audit.id_of(type_name, entity.image, entity.value, keys, is_uuid), 'DELETE', who.changed_by, entity.image,
        audit.metadata_of(entity.context, entity.image, keys, is_uuid),
        txid_current(), who.correlation_id
    FROM (
        SELECT bare.image, bare.context, CASE WHEN is_uuid THEN bare.image ->> keys[1] ELSE audit.key_text(bare.image -> keys[1]) END AS value
        FROM (
            SELECT
                CASE
                    WHEN capture.unstorable THEN audit.safe_image(row_to_json(r.*)) - capture.derived
                    WHEN capture.derived <> '{}' THEN to_jsonb(r.*) - capture.derived
                    ELSE to_jsonb(r.*)
                END AS image,
                CASE
                    WHEN capture.unstorable
                    THEN coalesce(capture.context || audit.text_fields(row_to_json(r.*)), capture.context)
                    ELSE capture.context
                END AS context
            FROM old_rows AS r
            OFFSET 0
        ) AS bare
        OFFSET 0
    ) AS entity;
    RETURN NULL;
END
$$;

-- A plan is made once a session, for as many rows as the first statement had: enable_nestloop = off keeps one made for a
-- single row from pairing thousands in quadratic time.
-- work_mem keeps the pairing of some ten thousand rows in memory; larger statements go through temporary files.
-- Rows are paired by their place in the transition tables, never by key: a statement may permute keys
-- (SET id = id % 4 + 1), and cascades may touch a row twice. A changed key ends one entity and begins another: a DELETE
-- and, after all of those, an INSERT, each naming the other's id in metadata.
CREATE OR REPLACE FUNCTION audit.capture_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
SET bytea_output = 'hex'
SET intervalstyle = 'postgres'
SET datestyle = 'ISO, MDY'
SET jit = off
SET plan_cache_mode = force_generic_plan
SET work_mem = '32MB'
SET enable_nestloop = off
AS $$
<<capture>>
DECLARE
    type_name text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    usual_key text := CASE WHEN TG_NARGS = 1 THEN audit.usual_key(TG_RELID, TG_ARGV[0]::smallint) END;
    keys text[];
    is_uuid boolean;
    key record;
    derived text[];
    unstorable boolean := false;
    who record;
    context jsonb;
    rekeyed boolean;
    is_one boolean;
    row_before jsonb;
    row_after jsonb;
BEGIN
    who := audit.capture_context();
    IF usual_key IS NOT NULL THEN
        SELECT to_jsonb(o.*), to_jsonb(n.*), (SELECT count(*) FROM (SELECT FROM old_rows LIMIT 2) AS few) = 1
        INTO row_before, row_after, is_one
        FROM old_rows AS o, new_rows AS n
        LIMIT 1;
        IF is_one IS NULL THEN
            RETURN NULL;
        ELSIF is_one AND row_before -> usual_key = row_after -> usual_key THEN  -- nothing to pair
            INSERT INTO audit.entity_change_log (
                entity_type, entity_id, operation, changed_by, before_snapshot, after_snapshot, changed_fields, metadata,
                transaction_id, correlation_id
            ) VALUES (
                type_name, (row_before ->> usual_key)::uuid, 'UPDATE', who.changed_by, row_before, row_after,
                (
                    SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')
                    FROM jsonb_each(row_after) AS field
                    WHERE field.value IS DISTINCT FROM row_before -> field.key
                ),
                who.metadata, txid_current(), who.correlation_id
            );
            RETURN NULL;
        END IF;
    END IF;
    key := audit.capture_key(TG_RELID, TG_ARGV::smallint[]);
    keys := key.keys;
    is_uuid := key.is_uuid;
    derived := key.derived;
    context := who.metadata;
    IF key.careful THEN
        BEGIN
            PERFORM count(to_jsonb(r.*)) FROM old_rows AS r;
            PERFORM count(to_jsonb(r.*)) FROM new_rows AS r;
        EXCEPTION WHEN OTHERS THEN
            unstorable := true;
        END;
    END IF;
    WITH logged AS (
        INSERT INTO audit.entity_change_log (
            entity_type, entity_id, operation, changed_by, before_snapshot, after_snapshot, changed_fields, metadata,
            transaction_id, correlation_id
        )
        SELECT
            type_name, audit.id_of(type_name, entity.before, entity.value, keys, is_uuid),
            CASE WHEN entity.same_key THEN 'UPDATE' ELSE 'DELETE' END, who.changed_by, entity.before,
            CASE WHEN entity.same_key THEN entity.after END,
            -- audit.changed_fields(before, after), written out: a call a row would cost half as much as all the rest.
            CASE WHEN entity.same_key THEN (
                SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')
                FROM jsonb_each(entity.after) AS field
                WHERE field.value IS DISTINCT FROM entity.before -> field.key
            ) END,
            CASE
                WHEN entity.same_key THEN audit.metadata_of(entity.context, entity.before, keys, is_uuid)
                ELSE audit.metadata_of(
                    entity.context || jsonb_build_object('rekeyed_to', audit.id_of(
                        type_name, entity.after, audit.key_text(entity.after -> keys[1]), keys, is_uuid
                    )), entity.before, keys, is_uuid
                )
            END,
            txid_current(), who.correlation_id
        FROM (
            SELECT
                pair.before, pair.after, pair.context, CASE WHEN is_uuid THEN pair.before ->> keys[1] ELSE audit.key_text(pair.before -> keys[1]) END AS value,
                audit.same_key(pair.before, pair.after, keys) AS same_key
            FROM (
                SELECT old_row.image AS before, new_row.image AS after, new_row.context
                FROM (
                    SELECT
                        row_number() OVER () AS at,
                        CASE
                            WHEN capture.unstorable THEN audit.safe_image(row_to_json(r.*)) - capture.derived
                            WHEN capture.derived <> '{}' THEN to_jsonb(r.*) - capture.derived
                            ELSE to_jsonb(r.*)
                        END AS image
                    FROM old_rows AS r
                ) AS old_row
                JOIN (
                    SELECT
                        row_number() OVER () AS at,
                        CASE
                            WHEN capture.unstorable THEN audit.safe_image(row_to_json(r.*)) - capture.derived
                            WHEN capture.derived <> '{}' THEN to_jsonb(r.*) - capture.derived
                            ELSE to_jsonb(r.*)
                        END AS image,
                        CASE
                            WHEN capture.unstorable
                            THEN coalesce(capture.context || audit.text_fields(row_to_json(r.*)), capture.context)
                            ELSE capture.context
                        END AS context
                    FROM new_rows AS r
                ) AS new_row USING (at)
                OFFSET 0
            ) AS pair
            OFFSET 0
        ) AS entity
        RETURNING operation
    )
    SELECT count(*) FILTER (WHERE logged.operation = 'DELETE') > 0 INTO rekeyed FROM logged;
    IF rekeyed THEN
        INSERT INTO audit.entity_change_log (
            entity_type, entity_id, operation, changed_by, after_snapshot, metadata, transaction_id, correlation_id
        )
        SELECT
            type_name, audit.id_of(type_name, entity.after, entity.value, keys, is_uuid), 'INSERT', who.changed_by, entity.after,
            audit.metadata_of(
                entity.context || jsonb_build_object('rekeyed_from', audit.id_of(
                    type_name, entity.before, audit.key_text(entity.before -> keys[1]), keys, is_uuid
                )), entity.after, keys, is_uuid
            ),
            txid_current(), who.correlation_id
        FROM (
            SELECT pair.before, pair.after, pair.context, CASE WHEN is_uuid THEN pair.after ->> keys[1] ELSE audit.key_text(pair.after -> keys[1]) END AS value
            FROM (
                SELECT old_row.image AS before, new_row.image AS after, new_row.context
                FROM (
                    SELECT
                        row_number() OVER () AS at,
                        CASE
                            WHEN capture.unstorable THEN audit.safe_image(row_to_json(r.*)) - capture.derived
                            WHEN capture.derived <> '{}' THEN to_jsonb(r.*) - capture.derived
                            ELSE to_jsonb(r.*)
                        END AS image
                    FROM old_rows AS r
                ) AS old_row
                JOIN (
                    SELECT
                        row_number() OVER () AS at,
                        CASE
                            WHEN capture.unstorable THEN audit.safe_image(row_to_json(r.*)) - capture.derived
                            WHEN capture.derived <> '{}' THEN to_jsonb(r.*) - capture.derived
                            ELSE to_jsonb(r.*)
                        END AS image,
                        CASE
                            WHEN capture.unstorable
                            THEN coalesce(capture.context || audit.text_fields(row_to_json(r.*)), capture.context)
                            ELSE capture.context
                        END AS context
                    FROM new_rows AS r
                ) AS new_row USING (at)
                OFFSET 0
            ) AS pair
            WHERE NOT audit.same_key(pair.before, pair.after, keys)
            OFFSET 0
        ) AS entity;
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['capture_insert', 'capture_update', 'capture_delete'] LOOP
        EXECUTE format('ALTER FUNCTION audit.%I() OWNER TO auditlab_writer', name);
        EXECUTE format('REVOKE ALL ON FUNCTION audit.%I() FROM PUBLIC', name);
    END LOOP;
END
$$;
