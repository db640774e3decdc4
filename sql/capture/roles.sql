-- The roles of a change log: who owns it, who writes it, and what applications, auditors and archivers may do.
-- auditlab_owner owns the schema and the log; auditlab_writer owns the trigger functions and may only add to the log,
-- so that code that a tracked table brings along (a cast to json, say) can never alter what is there.
-- No role can log in: grant auditlab_auditor or auditlab_archiver to the roles of your people and jobs.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['auditlab_owner', 'auditlab_writer', 'auditlab_app', 'auditlab_auditor', 'auditlab_archiver'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another installation in this cluster was faster
        END;
    END LOOP;
    FOREACH wanted IN ARRAY ARRAY['auditlab_owner', 'auditlab_writer'] LOOP
        IF NOT pg_catalog.pg_has_role(current_user, wanted, 'USAGE') THEN
            EXECUTE pg_catalog.format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
    BEGIN
        -- Without it pg_stat_activity hides from an auditor who holds the watermark.
        IF NOT pg_catalog.pg_has_role('auditlab_auditor', 'pg_read_all_stats', 'MEMBER') THEN
            GRANT pg_read_all_stats TO auditlab_auditor;
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;  -- not on every managed service; `auditlab check` says so
    END;
END
$$;

CREATE SCHEMA IF NOT EXISTS audit AUTHORIZATION auditlab_owner;
DO $$
BEGIN
    IF (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'audit') <> 'auditlab_owner'::regrole THEN
        ALTER SCHEMA audit OWNER TO auditlab_owner;  -- of an adopted log
    END IF;
END
$$;
REVOKE ALL ON SCHEMA audit FROM PUBLIC;
GRANT CREATE ON SCHEMA audit TO auditlab_writer;  -- to own its functions; grants.sql takes it back
GRANT USAGE ON SCHEMA audit TO auditlab_writer, auditlab_auditor, auditlab_archiver;
