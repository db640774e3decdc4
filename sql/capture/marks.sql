-- Marks: saved moments, each with the transaction snapshot that says what was committed then. As of a mark, states are exact.
-- PostgreSQL 13 renamed the type of snapshots; the functions of the name before are in all versions.
DO $$
BEGIN
    IF to_regtype('audit.transaction_snapshot') IS NULL THEN
        EXECUTE format(
            'CREATE DOMAIN audit.transaction_snapshot AS %s', coalesce(to_regtype('pg_snapshot'), 'txid_snapshot'::regtype)
        );
        ALTER DOMAIN audit.transaction_snapshot OWNER TO auditlab_owner;
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS audit.mark (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began    timestamptz NOT NULL,
    at       timestamptz NOT NULL,
    snapshot audit.transaction_snapshot NOT NULL,
    lsn      pg_lsn NOT NULL,
    system   text NOT NULL,
    timeline integer NOT NULL,
    database text NOT NULL,
    name     text,
    taken_by text NOT NULL DEFAULT session_user
);
ALTER TABLE audit.mark OWNER TO auditlab_owner;
COMMENT ON TABLE audit.mark IS 'The snapshot was taken between began and at, by the clock of the server.';
SELECT audit.guard('audit.mark');

-- Nobody writes a mark but by this function, so that none can be forged. The transaction must not have written anything
-- before: its own changes would count as committed.
CREATE OR REPLACE FUNCTION audit.take_mark(called text DEFAULT NULL) RETURNS audit.mark
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken audit.mark;
BEGIN
    IF txid_current_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'a mark is taken in a transaction of its own' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    INSERT INTO audit.mark (began, at, snapshot, lsn, system, timeline, database, name)
    SELECT
        transaction_timestamp(),
        clock_timestamp(),
        txid_current_snapshot()::text::audit.transaction_snapshot,
        pg_current_wal_lsn(),
        (SELECT system_identifier::text FROM pg_control_system()),
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer,
        current_database(),
        called
    RETURNING * INTO taken;
    RETURN taken;
END
$$;
ALTER FUNCTION audit.take_mark(text) OWNER TO auditlab_owner;
REVOKE ALL ON FUNCTION audit.take_mark(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.take_mark(text) TO auditlab_archiver;
