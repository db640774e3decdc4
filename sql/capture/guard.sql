-- The log is append-only: UPDATE, DELETE and TRUNCATE of it are refused, whoever asks and whichever partition is named.
CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
ALTER FUNCTION audit.refuse_change() OWNER TO auditlab_owner;
REVOKE ALL ON FUNCTION audit.refuse_change() FROM PUBLIC;

-- Statement triggers are not passed on to partitions: every table of the log gets its own.
CREATE OR REPLACE FUNCTION audit.guard(relation regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'append_only') THEN
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', relation
        );
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', relation);
    END IF;
END
$$;
ALTER FUNCTION audit.guard(regclass) OWNER TO auditlab_owner;
REVOKE ALL ON FUNCTION audit.guard(regclass) FROM PUBLIC;

SELECT audit.guard(tree.relid) FROM pg_catalog.pg_partition_tree('audit.entity_change_log') AS tree;
