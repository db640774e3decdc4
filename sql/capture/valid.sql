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
