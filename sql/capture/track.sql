-- Begin and end the tracking of a table, in one transaction and under a lock that keeps writers out.
CREATE OR REPLACE FUNCTION audit.drop_triggers(target regclass) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found record;
    dropped integer := 0;
BEGIN
    FOR found IN
        SELECT t.tgname, t.tgrelid::regclass AS relation
        FROM pg_trigger AS t
        JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE p.pronamespace = 'audit'::regnamespace
            AND (p.proname LIKE 'capture\_%' OR p.proname = 'log_entity_change')
            AND NOT EXISTS (  -- what a partition was given goes with its parent's
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = d.classid AND d.deptype = 'P'
            )
            AND (t.tgrelid = target OR t.tgrelid IN (SELECT tree.relid FROM pg_partition_tree(target) AS tree))
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.relation);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- Raises AL001 with the reason where a table cannot be audited; returns the trigger level that it needs.
CREATE OR REPLACE FUNCTION audit.level_for(target regclass) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind "char";
    persistence "char";
    schema_name text;
    root regclass := pg_partition_root(target);
    reason text;
BEGIN
    SELECT c.relkind, c.relpersistence, n.nspname INTO kind, persistence, schema_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = target;
    reason := CASE
        WHEN kind NOT IN ('r', 'p') THEN 'is no table'
        WHEN persistence = 't' THEN 'is a temporary table'
        WHEN schema_name = 'audit' THEN 'belongs to the change log itself'
        WHEN schema_name IN ('pg_catalog', 'information_schema') THEN 'belongs to PostgreSQL'
        WHEN root <> target THEN format('is a partition of %s. Track that', root)
        WHEN NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = target AND i.indisprimary) THEN 'has no primary key'
    END;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION '% %', target, reason USING ERRCODE = 'AL001';
    END IF;
    RETURN CASE
        WHEN kind = 'p' OR EXISTS (SELECT FROM pg_inherits AS h WHERE target IN (h.inhrelid, h.inhparent)) THEN 'row'
        ELSE 'statement'
    END;
END
$$;

CREATE OR REPLACE FUNCTION audit.track(
    target regclass, baseline boolean DEFAULT true, truncate_images boolean DEFAULT false,
    OUT entity_type text, OUT level text, OUT action text, OUT baseline_rows bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    numbers text;
    leaf regclass;
    schema_name text;
    dropped integer;
BEGIN
    level := audit.level_for(target);
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'tracking needs a READ COMMITTED transaction: what others commit while it waits for the lock counts'
            USING ERRCODE = 'AL002';
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
    SELECT n.nspname || '.' || c.relname INTO entity_type
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = target;
    SELECT string_agg(quote_literal(number), ', ' ORDER BY place) INTO numbers
    FROM unnest(audit.key_numbers(target)) WITH ORDINALITY AS key (number, place);

    baseline_rows := 0;
    IF audit.is_tracked(target, level, format('%s, %s', quote_literal(truncate_images::text), numbers))
        AND EXISTS (SELECT FROM audit.tracked_table AS t WHERE t.entity_type = track.entity_type) THEN  -- else it was renamed
        action := 'current';
        RETURN;
    END IF;
    dropped := audit.drop_triggers(target);
    action := CASE WHEN dropped > 0 THEN 'renewed' ELSE 'tracked' END;

    IF level = 'statement' THEN
        EXECUTE format(
            'CREATE TRIGGER auditlab_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION audit.capture_insert(%s)', target, numbers
        );
        EXECUTE format(
            'CREATE TRIGGER auditlab_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION audit.capture_update(%s)', target, numbers
        );
        EXECUTE format(
            'CREATE TRIGGER auditlab_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION audit.capture_delete(%s)', target, numbers
        );
    ELSE
        EXECUTE format(
            'CREATE TRIGGER auditlab_row AFTER INSERT OR UPDATE OR DELETE ON %s '
            'FOR EACH ROW EXECUTE FUNCTION audit.capture_row(%s)', target, numbers
        );
    END IF;
    FOR leaf IN
        SELECT target UNION SELECT tree.relid FROM pg_partition_tree(target) AS tree WHERE tree.relid IS NOT NULL
    LOOP
        EXECUTE format(
            'CREATE TRIGGER auditlab_truncate BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION audit.capture_truncate(%L, %s)', leaf, truncate_images::text, numbers
        );
        -- To count the rows that a TRUNCATE removes.
        EXECUTE format('GRANT SELECT ON %s TO auditlab_writer', leaf);
        SELECT n.nspname INTO schema_name
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = leaf;
        IF NOT has_schema_privilege('auditlab_writer', schema_name, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO auditlab_writer', schema_name);
        END IF;
    END LOOP;
    INSERT INTO audit.tracked_table AS known (entity_type, level, baseline)
    VALUES (track.entity_type, track.level, track.baseline)
    ON CONFLICT ON CONSTRAINT tracked_table_pkey DO UPDATE
    SET level = excluded.level, baseline = known.baseline OR excluded.baseline, tracked_at = now(), tracked_by = session_user;
    IF baseline THEN  -- also when triggers were renewed: who knows what happened while they were not as they should be
        baseline_rows := audit.write_baseline(target);
    END IF;
END
$$;

-- Whether our triggers stand as they would be made now, enabled, on the table and each of its partitions.
CREATE OR REPLACE FUNCTION audit.is_tracked(target regclass, level text, truncate_arguments text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        (
            SELECT count(*) FROM pg_trigger AS t
            WHERE t.tgrelid = target AND t.tgenabled = 'O' AND t.tgname = ANY (
                CASE level WHEN 'row' THEN ARRAY['auditlab_row']
                ELSE ARRAY['auditlab_insert', 'auditlab_update', 'auditlab_delete'] END
            )
        ) = CASE level WHEN 'row' THEN 1 ELSE 3 END
        AND (
            SELECT count(*) FROM pg_trigger AS t
            WHERE (t.tgrelid = target OR t.tgrelid IN (SELECT tree.relid FROM pg_partition_tree(target) AS tree))
                AND t.tgname = 'auditlab_truncate' AND t.tgenabled = 'O'
                AND pg_get_triggerdef(t.oid) LIKE '%capture_truncate(' || truncate_arguments || ')'
        ) = greatest(1, (SELECT count(*) FROM pg_partition_tree(target)))
        AND NOT EXISTS (
            SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
            WHERE t.tgrelid = target AND p.proname = 'log_entity_change'
        )
$$;

-- One SNAPSHOT change a row that is there, rendered as the triggers render; and for entities that an earlier tracking
-- left alive and that are gone now, a DELETE by nobody. Returns how many rows it wrote.
CREATE OR REPLACE FUNCTION audit.write_baseline(target regclass) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
SET bytea_output = 'hex'
SET intervalstyle = 'postgres'
SET datestyle = 'ISO, MDY'
SET row_security = off
AS $$
DECLARE
    type_name text;
    types text[];
    keys text[];
    is_uuid boolean;
    careful boolean;
    derived text[];
    context jsonb;
    written bigint;
BEGIN
    SELECT n.nspname || '.' || c.relname INTO type_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = target;
    SELECT k.keys, k.is_uuid, k.careful, k.derived INTO keys, is_uuid, careful, derived
    FROM audit.capture_key(target, audit.key_numbers(target)) AS k;
    SELECT c.metadata INTO context FROM audit.capture_context() AS c;
    context := context || jsonb_build_object('baseline', true);
    EXECUTE format(
        'INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, after_snapshot, metadata, transaction_id) '
        'SELECT $1, audit.id_of($1, entity.image, audit.key_text(entity.image -> $3[1]), $3, $4), ''SNAPSHOT'', entity.image, '
        '       audit.metadata_of($2, entity.image, $3, $4), txid_current() '
        'FROM (SELECT CASE WHEN $5 THEN audit.safe_image(row_to_json(r.*)) ELSE to_jsonb(r.*) END - $6 AS image FROM %s %s AS r OFFSET 0) '
        'AS entity',
        CASE WHEN EXISTS (SELECT FROM pg_class AS c WHERE c.oid = target AND c.relkind = 'p') THEN '' ELSE 'ONLY' END, target
    ) USING type_name, context, keys, is_uuid, careful, derived;
    GET DIAGNOSTICS written = ROW_COUNT;
    -- The published trigger logs a row of a partitioned table under its partition, and a key that was changed under the
    -- new one alone: there the images of the UPDATE tell that the old key ended.
    types := ARRAY(
        SELECT n.nspname || '.' || c.relname
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = target OR c.oid IN (SELECT tree.relid FROM pg_partition_tree(target) AS tree)
    );
    WITH moved AS MATERIALIZED (
        SELECT l.before_snapshot ->> keys[1] AS old, max(l.id) AS id
        FROM audit.entity_change_log AS l
        WHERE is_uuid AND l.entity_type = ANY (types) AND l.operation = 'UPDATE'
            AND l.before_snapshot ->> keys[1] <> l.entity_id::text
        GROUP BY 1
    )
    INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, before_snapshot, metadata, transaction_id)
    SELECT type_name, lost.entity_id, 'DELETE', lost.after_snapshot, context || '{"gone": true}', txid_current()
    FROM (
        SELECT DISTINCT ON (l.entity_id) l.id, l.entity_id, l.operation, l.after_snapshot, l.transaction_id
        FROM audit.entity_change_log AS l
        WHERE l.entity_type = ANY (types) AND l.entity_id IS NOT NULL AND l.id > coalesce((
            SELECT max(t.id) FROM audit.entity_change_log AS t WHERE t.entity_type = ANY (types) AND t.operation = 'TRUNCATE'
        ), 0)
        ORDER BY l.entity_id, l.id DESC
    ) AS lost
    WHERE lost.operation <> 'DELETE' AND NOT (lost.operation = 'SNAPSHOT' AND lost.transaction_id = txid_current())
        AND NOT EXISTS (SELECT FROM moved WHERE moved.old = lost.entity_id::text AND moved.id > lost.id);
    RETURN written;
END
$$;

CREATE OR REPLACE FUNCTION audit.untrack(target regclass) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leaf regclass;
    dropped integer;
BEGIN
    dropped := audit.drop_triggers(target);
    FOR leaf IN
        SELECT target UNION SELECT tree.relid FROM pg_partition_tree(target) AS tree WHERE tree.relid IS NOT NULL
    LOOP
        EXECUTE format('REVOKE SELECT ON %s FROM auditlab_writer', leaf);
    END LOOP;
    DELETE FROM audit.tracked_table AS t
    USING pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = target AND t.entity_type = n.nspname || '.' || c.relname;
    RETURN dropped;
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'drop_triggers(regclass)', 'level_for(regclass)', 'track(regclass, boolean, boolean)',
        'is_tracked(regclass, text, text)', 'write_baseline(regclass)', 'untrack(regclass)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION audit.%s OWNER TO auditlab_owner', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION audit.%s FROM PUBLIC', signature);
    END LOOP;
END
$$;
