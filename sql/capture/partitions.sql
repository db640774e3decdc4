-- Monthly partitions, made ahead; rows that fell into the default partition move to where they belong.
-- A month's table is made beside the log and then attached: that lets the application go on writing meanwhile.
CREATE OR REPLACE FUNCTION audit.create_partitions(ahead integer DEFAULT 3)
RETURNS TABLE (partition text, action text, rows_moved bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, MDY'
AS $$
DECLARE
    months timestamptz[];
    month timestamptz;
    name text;
    lower_bound timestamptz;
    span_end timestamptz;
    moved bigint;
BEGIN
    IF ahead < 0 OR ahead > 120 THEN
        RAISE EXCEPTION 'cannot make partitions % months ahead: give 0 to 120', ahead USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('auditlab partitions'));
    months := ARRAY(  -- taken first: a query still open on the default partition would stand in the way
        SELECT wanted.month FROM (
            SELECT generate_series(
                date_trunc('month', now()), date_trunc('month', now()) + make_interval(months => ahead), interval '1 month'
            ) AS month
            UNION
            SELECT DISTINCT date_trunc('month', d.changed_at)
            FROM audit.entity_change_log_default AS d WHERE isfinite(d.changed_at)
        ) AS wanted ORDER BY wanted.month
    );
    FOREACH month IN ARRAY months LOOP
        name := 'entity_change_log_' || to_char(month, 'YYYY_MM');
        span_end := month + interval '1 month';
        CONTINUE WHEN to_regclass(format('audit.%I', name)) IS NOT NULL;
        -- The month in which a log was adopted begins where the adopted table ends.
        lower_bound := greatest(month, audit.adopted_until());
        CONTINUE WHEN lower_bound >= span_end;
        EXECUTE format(
            'CREATE TABLE audit.%I (LIKE audit.entity_change_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)',
            name
        );
        EXECUTE format(
            'ALTER TABLE audit.%I ADD CONSTRAINT span CHECK (changed_at >= %L AND changed_at < %L)', name, lower_bound, span_end
        );
        moved := 0;
        IF month <= now() THEN
            -- Rows of this month may be on their way into the default partition: nothing may come between look and move.
            LOCK TABLE audit.entity_change_log_default IN ACCESS EXCLUSIVE MODE;
        END IF;
        IF EXISTS (
            SELECT FROM audit.entity_change_log_default AS d WHERE d.changed_at >= lower_bound AND d.changed_at < span_end
        ) THEN
            LOCK TABLE audit.entity_change_log_default IN ACCESS EXCLUSIVE MODE;
            ALTER TABLE audit.entity_change_log_default DISABLE TRIGGER append_only;
            EXECUTE format(
                'WITH gone AS (DELETE FROM audit.entity_change_log_default WHERE changed_at >= %L AND changed_at < %L RETURNING *) '
                'INSERT INTO audit.%I SELECT * FROM gone', lower_bound, span_end, name
            );
            GET DIAGNOSTICS moved = ROW_COUNT;
            ALTER TABLE audit.entity_change_log_default ENABLE ALWAYS TRIGGER append_only;
        END IF;
        EXECUTE format(
            'ALTER TABLE audit.entity_change_log ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
            name, lower_bound, span_end
        );
        EXECUTE format('ALTER TABLE audit.%I DROP CONSTRAINT span', name);
        PERFORM audit.guard(format('audit.%I', name)::regclass);
        partition := 'audit.' || name;
        action := CASE WHEN moved > 0 THEN 'created, rows moved from the default partition' ELSE 'created' END;
        rows_moved := moved;
        RETURN NEXT;
    END LOOP;
END
$$;
ALTER FUNCTION audit.create_partitions(integer) OWNER TO auditlab_owner;
REVOKE ALL ON FUNCTION audit.create_partitions(integer) FROM PUBLIC;

-- Where the table of an adopted log ends; null where the log is our own.
CREATE OR REPLACE FUNCTION audit.adopted_until() RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN (
        SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM $re$TO \('([^']+)'\)$re$)::timestamptz
        FROM pg_class AS c WHERE c.oid = to_regclass('audit.entity_change_log_adopted') AND c.relispartition
    );
END
$$;
ALTER FUNCTION audit.adopted_until() OWNER TO auditlab_owner;
REVOKE ALL ON FUNCTION audit.adopted_until() FROM PUBLIC;

SELECT created.partition, created.action, created.rows_moved FROM audit.create_partitions() AS created;
