-- The adopted table becomes the partition of everything up to now; ids go on after the last one that it was given.
DO $$
DECLARE
    boundary timestamptz;
    last_id bigint;
BEGIN
    -- A time that is no time has no month: such rows lie in the default partition.
    INSERT INTO audit.entity_change_log_default OVERRIDING SYSTEM VALUE
    SELECT * FROM audit.entity_change_log_adopted AS l WHERE NOT isfinite(l.changed_at);
    DELETE FROM audit.entity_change_log_adopted AS l WHERE NOT isfinite(l.changed_at);

    SELECT greatest(now(), max(l.changed_at)) + interval '1 microsecond' INTO boundary FROM audit.entity_change_log_adopted AS l;
    SELECT greatest(
        (SELECT max(l.id) FROM audit.entity_change_log_adopted AS l), (SELECT max(l.id) FROM audit.entity_change_log_default AS l),
        nullif(current_setting('auditlab.last_id', true), '')::bigint
    ) INTO last_id;
    EXECUTE format(
        'ALTER TABLE audit.entity_change_log ATTACH PARTITION audit.entity_change_log_adopted FOR VALUES FROM (MINVALUE) TO (%L)',
        to_char(boundary AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'
    );
    EXECUTE format('ALTER TABLE audit.entity_change_log ALTER COLUMN id RESTART WITH %s', coalesce(last_id, 0) + 1);
END
$$;
