-- The table beside a log that says which of its partitions were dropped; who may read the log may read it.
DO $$
DECLARE
    kept text := current_setting('auditlab.dropped');
    reader record;
BEGIN
    IF to_regclass(kept) IS NOT NULL THEN
        IF NOT EXISTS (
            SELECT FROM pg_attribute WHERE attrelid = kept::regclass AND attname = 'entity_types' AND NOT attisdropped
        ) THEN  -- an earlier auditlab made it
            EXECUTE format('ALTER TABLE %s ADD COLUMN entity_types jsonb', kept);
        END IF;
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %s ('
        '    partition        text NOT NULL,'
        '    starts_at        timestamptz,'
        '    ends_at          timestamptz NOT NULL,'
        '    rows             bigint NOT NULL,'
        '    last_id          bigint,'
        '    last_transaction bigint,'
        '    archive          text NOT NULL,'
        '    dropped_at       timestamptz NOT NULL DEFAULT now(),'
        '    dropped_by       text NOT NULL DEFAULT session_user,'
        '    entity_types     jsonb'
        ')', kept
    );
    EXECUTE format('COMMENT ON TABLE %s IS %L', kept,
        'Partitions of the log that were dropped after each of their rows was found in an archive (auditlab prune).');
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', kept);
    FOR reader IN
        SELECT CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END AS role
        FROM pg_class AS c, aclexplode(c.relacl) AS granted
        WHERE c.oid = current_setting('auditlab.log')::regclass AND granted.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO %s', kept, reader.role);
    END LOOP;
    IF to_regprocedure('audit.guard(regclass)') IS NOT NULL THEN
        EXECUTE format('SELECT audit.guard(%L)', kept);
    END IF;
END
$$
