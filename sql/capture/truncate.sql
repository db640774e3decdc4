-- The TRUNCATE triggers, fired before the rows are gone: one change for the whole type, with the number of its rows.
-- The truncation of a single partition is no TRUNCATE of the type: its rows are recorded as deleted, one by one.
-- Images of the rows of a whole table (as DELETE changes before the TRUNCATE) are an option: the first argument.
CREATE OR REPLACE FUNCTION audit.capture_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
SET bytea_output = 'hex'
SET intervalstyle = 'postgres'
SET datestyle = 'ISO, MDY'
SET jit = off
SET plan_cache_mode = force_generic_plan
SET row_security = off
AS $$
DECLARE
    root oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    with_images boolean := TG_ARGV[0]::boolean;
    numbers smallint[] := TG_ARGV[1:];
    is_partition boolean := root <> TG_RELID;
    source text;
    type_name text;
    last_operation text;
    keys text[];
    is_uuid boolean;
    key record;
    who record;
    context jsonb;
    row_count bigint;
    document json;
    image jsonb;
BEGIN
    SELECT n.nspname || '.' || c.relname INTO type_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = root;
    key := audit.capture_key(root, numbers);
    keys := key.keys;
    is_uuid := key.is_uuid;
    who := audit.capture_context();
    context := who.metadata;
    context := context || jsonb_build_object('truncated', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME);

    -- Rows of tables that inherit are theirs; those of a partition's own partitions are told as these are truncated, next.
    SELECT format('%s %I.%I', CASE WHEN c.relkind = 'p' AND NOT is_partition THEN '' ELSE 'ONLY' END, TG_TABLE_SCHEMA, TG_TABLE_NAME)
    INTO source FROM pg_class AS c WHERE c.oid = TG_RELID;

    IF is_partition THEN
        -- Where the root is truncated in the same command, its own change came first and covers this partition.
        SELECT l.operation INTO last_operation
        FROM audit.entity_change_log AS l
        WHERE l.transaction_id = txid_current() AND l.entity_type = type_name
        ORDER BY l.id DESC LIMIT 1;
        IF last_operation = 'TRUNCATE' THEN
            RETURN NULL;
        END IF;
    END IF;

    IF is_partition OR with_images THEN
        FOR document IN EXECUTE 'SELECT row_to_json(r.*) FROM ' || source || ' AS r' LOOP
            image := CASE WHEN key.careful THEN audit.safe_image(document) ELSE document::jsonb END;
            image := image - key.derived;
            INSERT INTO audit.entity_change_log (
                entity_type, entity_id, operation, changed_by, before_snapshot, metadata, transaction_id, correlation_id
            ) VALUES (
                type_name, audit.id_of(type_name, image, audit.key_text(image -> keys[1]), keys, is_uuid), 'DELETE',
                who.changed_by, image, audit.metadata_of(context, image, keys, is_uuid), txid_current(), who.correlation_id
            );
        END LOOP;
    END IF;
    IF NOT is_partition THEN
        BEGIN
            EXECUTE 'SELECT count(*) FROM ' || source INTO row_count;
        EXCEPTION WHEN insufficient_privilege THEN
            context := context || jsonb_build_object('rows_unknown', SQLERRM);  -- row security, or a revoked SELECT
        END;
        INSERT INTO audit.entity_change_log (
            entity_type, operation, changed_by, metadata, transaction_id, correlation_id
        ) VALUES (
            type_name, 'TRUNCATE', who.changed_by, context || jsonb_build_object('rows', row_count), txid_current(), who.correlation_id
        );
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION audit.capture_truncate() OWNER TO auditlab_writer;
REVOKE ALL ON FUNCTION audit.capture_truncate() FROM PUBLIC;
