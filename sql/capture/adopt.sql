-- Take over a log that was made by the published schema: first its table makes room, keeping every row as it is.
-- Runs after roles.sql and before log.sql; attach.sql then makes the table the oldest partition of the new log.
DO $$
DECLARE
    kind "char";
    faults text;
    found record;
BEGIN
    LOCK TABLE audit.entity_change_log IN ACCESS EXCLUSIVE MODE;
    SELECT string_agg(format('%s: is %s, want %s', want.name, coalesce(format_type(a.atttypid, NULL), 'missing'), want.type), '; ')
    INTO faults
    FROM (VALUES
        ('id', 'bigint'), ('entity_type', 'text'), ('entity_id', 'uuid'), ('operation', 'text'), ('changed_by', 'uuid'),
        ('changed_at', 'timestamp with time zone'), ('before_snapshot', 'jsonb'), ('after_snapshot', 'jsonb'),
        ('changed_fields', 'jsonb'), ('metadata', 'jsonb'), ('transaction_id', 'bigint'), ('correlation_id', 'uuid')
    ) AS want (name, type)
    LEFT JOIN pg_attribute AS a
        ON a.attrelid = 'audit.entity_change_log'::regclass AND a.attname = want.name AND NOT a.attisdropped
    WHERE a.atttypid IS NULL OR format_type(a.atttypid, NULL) <> want.type;
    SELECT c.relkind INTO kind FROM pg_class AS c WHERE c.oid = 'audit.entity_change_log'::regclass;
    IF kind <> 'r' THEN
        faults := concat_ws('; ', faults, 'it is no plain table');
    END IF;
    SELECT concat_ws('; ', faults, 'more columns: ' || string_agg(a.attname, ', ')) INTO faults
    FROM pg_attribute AS a
    WHERE a.attrelid = 'audit.entity_change_log'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN (
        'id', 'entity_type', 'entity_id', 'operation', 'changed_by', 'changed_at', 'before_snapshot', 'after_snapshot',
        'changed_fields', 'metadata', 'transaction_id', 'correlation_id'
    );
    IF faults <> '' THEN
        RAISE EXCEPTION 'audit.entity_change_log is not the published log and cannot be adopted: %', faults
            USING ERRCODE = 'AL003', HINT = 'It is read, archived and pruned as it is, without auditlab init. To record by '
                'auditlab from now on, stop its trigger, rename the table or its schema, and run auditlab init again.';
    END IF;

    FOR found IN
        SELECT c.conname FROM pg_constraint AS c
        WHERE c.conrelid = 'audit.entity_change_log'::regclass AND c.contype IN ('c', 'p', 'u')
    LOOP
        EXECUTE format('ALTER TABLE audit.entity_change_log DROP CONSTRAINT %I', found.conname);
    END LOOP;
    FOR found IN SELECT i.indexrelid::regclass AS name FROM pg_index AS i WHERE i.indrelid = 'audit.entity_change_log'::regclass
    LOOP
        EXECUTE format('DROP INDEX %s', found.name);
    END LOOP;
    -- The last id that was given, be its row still there or only in an archive: attach.sql goes on behind it.
    PERFORM set_config('auditlab.last_id', pg_sequence_last_value(to_regclass(coalesce(
        pg_get_serial_sequence('audit.entity_change_log', 'id'), 'audit.entity_change_log_id_seq'
    )))::text, true);
    ALTER TABLE audit.entity_change_log ALTER COLUMN id DROP DEFAULT, ALTER COLUMN entity_id DROP NOT NULL;
    DROP SEQUENCE IF EXISTS audit.entity_change_log_id_seq;
    FOR found IN
        SELECT DISTINCT acl.grantee::regrole AS role
        FROM pg_class AS c, aclexplode(c.relacl) AS acl
        WHERE c.oid = 'audit.entity_change_log'::regclass AND acl.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('REVOKE ALL ON audit.entity_change_log FROM %s', found.role);
    END LOOP;
    REVOKE ALL ON audit.entity_change_log FROM PUBLIC;
    ALTER TABLE audit.entity_change_log RENAME TO entity_change_log_adopted;
    ALTER TABLE audit.entity_change_log_adopted OWNER TO auditlab_owner;
    PERFORM set_config('auditlab.adopting', 'yes', true);
END
$$;
