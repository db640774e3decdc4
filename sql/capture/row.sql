-- The row trigger, for tables whose statement triggers would miss rows: PostgreSQL passes it on to every partition, new
-- ones too, and it fires whichever of them a statement names. A partition's rows count under the name of the root.
-- It also stands in for the trigger function of an adopted log, which has no arguments: the key is then the primary key.
CREATE OR REPLACE FUNCTION audit.capture_row() RETURNS trigger
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
DECLARE
    root oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    numbers smallint[] := TG_ARGV;
    type_name text;
    keys text[];
    is_uuid boolean;
    key record;
    texts jsonb;
    who record;
    context jsonb;
    before jsonb;
    after jsonb;
    old_id uuid;
    new_id uuid;
BEGIN
    IF coalesce(numbers, '{}') = '{}' THEN
        numbers := audit.key_numbers(root);
    END IF;
    SELECT n.nspname || '.' || c.relname INTO type_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = root;
    key := audit.capture_key(root, numbers);
    keys := key.keys;
    is_uuid := key.is_uuid;
    who := audit.capture_context();
    context := who.metadata;
    IF root <> TG_RELID THEN
        context := context || jsonb_build_object('partition', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME);
    END IF;

    IF NOT key.careful THEN
        before := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
        after := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    ELSE
        BEGIN
            before := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
            after := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
        EXCEPTION WHEN OTHERS THEN
            before := CASE WHEN TG_OP <> 'INSERT' THEN audit.safe_image(row_to_json(OLD)) END;
            after := CASE WHEN TG_OP <> 'DELETE' THEN audit.safe_image(row_to_json(NEW)) END;
            texts := audit.text_fields(CASE WHEN TG_OP = 'DELETE' THEN row_to_json(OLD) ELSE row_to_json(NEW) END);
            context := coalesce(context || texts, context);
        END;
    END IF;
    before := before - key.derived;
    after := after - key.derived;
    old_id := audit.id_of(type_name, before, audit.key_text(before -> keys[1]), keys, is_uuid);
    new_id := audit.id_of(type_name, after, audit.key_text(after -> keys[1]), keys, is_uuid);

    IF TG_OP = 'UPDATE' AND old_id <> new_id THEN
        INSERT INTO audit.entity_change_log (
            entity_type, entity_id, operation, changed_by, before_snapshot, metadata, transaction_id, correlation_id
        ) VALUES (
            type_name, old_id, 'DELETE', who.changed_by, before,
            audit.metadata_of(context || jsonb_build_object('rekeyed_to', new_id), before, keys, is_uuid),
            txid_current(), who.correlation_id
        );
        INSERT INTO audit.entity_change_log (
            entity_type, entity_id, operation, changed_by, after_snapshot, metadata, transaction_id, correlation_id
        ) VALUES (
            type_name, new_id, 'INSERT', who.changed_by, after,
            audit.metadata_of(context || jsonb_build_object('rekeyed_from', old_id), after, keys, is_uuid),
            txid_current(), who.correlation_id
        );
    ELSE
        INSERT INTO audit.entity_change_log (
            entity_type, entity_id, operation, changed_by, before_snapshot, after_snapshot, changed_fields, metadata,
            transaction_id, correlation_id
        ) VALUES (
            type_name, coalesce(new_id, old_id), TG_OP, who.changed_by, before, after,
            CASE WHEN TG_OP = 'UPDATE' THEN audit.changed_fields(before, after) END,
            audit.metadata_of(context, coalesce(after, before), keys, is_uuid), txid_current(), who.correlation_id
        );
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION audit.capture_row() OWNER TO auditlab_writer;
REVOKE ALL ON FUNCTION audit.capture_row() FROM PUBLIC;

-- Tables that the trigger of an adopted log is still on are from now on written down by this one.
DO $$
BEGIN
    IF to_regprocedure('audit.log_entity_change()') IS NOT NULL THEN
        EXECUTE replace(
            pg_get_functiondef('audit.capture_row()'::regprocedure), 'audit.capture_row()', 'audit.log_entity_change()'
        );
        ALTER FUNCTION audit.log_entity_change() OWNER TO auditlab_writer;
        REVOKE ALL ON FUNCTION audit.log_entity_change() FROM PUBLIC;
    END IF;
END
$$;
