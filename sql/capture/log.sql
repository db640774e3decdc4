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
