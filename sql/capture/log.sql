-- The change log: the reference schema's twelve columns, partitioned by month, with a default partition.
CREATE TABLE IF NOT EXISTS audit.entity_change_log (
    id              bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    entity_type     text NOT NULL,
    entity_id       uuid,
    operation       text NOT NULL,
    changed_by      uuid,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    before_snapshot jsonb,
    after_snapshot  jsonb,
    changed_fields  jsonb,
    metadata        jsonb,
    transaction_id  bigint,
    correlation_id  uuid
) PARTITION BY RANGE (changed_at);
ALTER TABLE audit.entity_change_log OWNER TO auditlab_owner;

CREATE TABLE IF NOT EXISTS audit.entity_change_log_default PARTITION OF audit.entity_change_log DEFAULT;
ALTER TABLE audit.entity_change_log_default OWNER TO auditlab_owner;

-- Tight: every operation has exactly the images it must have, and those are objects. Written as one function, because
-- PostgreSQL reads a constraint's expression anew for every statement: written out it cost more than the insert.
CREATE OR REPLACE FUNCTION audit.is_change(
    operation text, entity_type text, entity_id uuid, changed_at timestamptz, before_snapshot jsonb, after_snapshot jsonb,
    changed_fields jsonb, metadata jsonb, transaction_id bigint
) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN coalesce(
        CASE operation
            WHEN 'UPDATE' THEN
                jsonb_typeof(before_snapshot) = 'object' AND jsonb_typeof(after_snapshot) = 'object'
                AND jsonb_typeof(changed_fields) = 'object' AND entity_id IS NOT NULL
            WHEN 'INSERT' THEN
                before_snapshot IS NULL AND jsonb_typeof(after_snapshot) = 'object' AND changed_fields IS NULL
                AND entity_id IS NOT NULL
            WHEN 'DELETE' THEN
                jsonb_typeof(before_snapshot) = 'object' AND after_snapshot IS NULL AND changed_fields IS NULL
                AND entity_id IS NOT NULL
            WHEN 'SNAPSHOT' THEN
                before_snapshot IS NULL AND jsonb_typeof(after_snapshot) = 'object' AND changed_fields IS NULL
                AND entity_id IS NOT NULL
            WHEN 'TRUNCATE' THEN
                before_snapshot IS NULL AND after_snapshot IS NULL AND changed_fields IS NULL AND entity_id IS NULL
            ELSE false
        END
        AND coalesce(jsonb_typeof(metadata), 'object') = 'object'
        AND transaction_id > 0
        AND isfinite(changed_at)
        AND entity_type <> '',
        false
    );
END
$$;
ALTER FUNCTION audit.is_change(text, text, uuid, timestamptz, jsonb, jsonb, jsonb, jsonb, bigint) OWNER TO auditlab_owner;

-- Rows of an adopted log stay as they are (NOT VALID); every new row is held to it.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
        WHERE conrelid = 'audit.entity_change_log'::regclass AND conname = 'entity_change_log_valid'
    ) THEN
        ALTER TABLE audit.entity_change_log ADD CONSTRAINT entity_change_log_valid CHECK (audit.is_change(
            operation, entity_type, entity_id, changed_at, before_snapshot, after_snapshot, changed_fields, metadata,
            transaction_id
        )) NOT VALID;
    END IF;
END
$$;

-- Lean: one entity's history, one transaction's changes and what comes after a cursor, a span of time.
CREATE INDEX IF NOT EXISTS entity_change_log_entity ON audit.entity_change_log (entity_type, entity_id, id);
CREATE INDEX IF NOT EXISTS entity_change_log_transaction ON audit.entity_change_log (transaction_id, id);
CREATE INDEX IF NOT EXISTS entity_change_log_time ON audit.entity_change_log USING brin (changed_at);
CREATE INDEX IF NOT EXISTS entity_change_log_correlation ON audit.entity_change_log (correlation_id)
    WHERE correlation_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS audit.entity_snapshots (
    entity_type    text NOT NULL,
    entity_id      uuid NOT NULL,
    snapshot_at    timestamptz NOT NULL,
    snapshot_data  jsonb NOT NULL,
    last_change_id bigint NOT NULL,
    PRIMARY KEY (entity_type, entity_id, snapshot_at)
);
ALTER TABLE audit.entity_snapshots OWNER TO auditlab_owner;

CREATE TABLE IF NOT EXISTS audit.tracked_table (
    entity_type text PRIMARY KEY,
    level       text NOT NULL CHECK (level IN ('statement', 'row')),
    baseline    boolean NOT NULL,
    tracked_at  timestamptz NOT NULL DEFAULT now(),
    tracked_by  text NOT NULL DEFAULT session_user
);
ALTER TABLE audit.tracked_table OWNER TO auditlab_owner;
COMMENT ON TABLE audit.tracked_table IS 'What is tracked: by which triggers, and whether its rows of before were written.';

CREATE TABLE IF NOT EXISTS audit.installation (
    version      integer NOT NULL,
    action       text NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    installed_by text NOT NULL DEFAULT session_user
);
ALTER TABLE audit.installation OWNER TO auditlab_owner;
COMMENT ON TABLE audit.installation IS 'Which version of the capture was installed when, and by whom.';
