-- The triggers of every tracked table are there, enabled, and the right ones for what the table is today
WITH ours AS (
    SELECT t.tgrelid, t.tgname, t.tgenabled, t.tgargs, t.tgnargs, f.proname,
        EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = d.classid AND d.deptype = 'P'
        ) AS passed_on
    FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
    WHERE f.pronamespace = 'audit'::regnamespace AND (f.proname LIKE 'capture\_%' OR f.proname = 'log_entity_change')
),
tables AS (
    SELECT
        c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname || '.' || c.relname AS entity_type, c.relkind,
        c.relispartition, coalesce(pg_partition_root(c.oid), c.oid) AS root
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
),
findings AS (
    SELECT 'error' AS severity, t.name AS subject, format('its trigger %s is disabled', o.tgname) AS message,
        format('ALTER TABLE %s ENABLE TRIGGER %I', t.name, o.tgname) AS remedy
    FROM ours AS o JOIN tables AS t ON t.oid = o.tgrelid
    WHERE o.tgenabled NOT IN ('O', 'A')
    UNION ALL
    SELECT 'error', t.name, 'was tracked, and its triggers are gone (the table was made anew)', format('auditlab track DSN %s', t.name)
    FROM audit.tracked_table AS k JOIN tables AS t ON t.entity_type = k.entity_type
    WHERE NOT EXISTS (SELECT FROM ours AS o WHERE o.tgrelid = t.oid AND o.proname <> 'capture_truncate')
    UNION ALL
    SELECT 'error', k.entity_type, 'was tracked, and there is no table of that name any more (it was dropped or renamed)',
        format('auditlab untrack DSN %I.%I', split_part(k.entity_type, '.', 1), substring(k.entity_type FROM '[.](.*)'))
    FROM audit.tracked_table AS k
    WHERE NOT EXISTS (SELECT FROM tables AS t WHERE t.entity_type = k.entity_type)
    UNION ALL
    SELECT DISTINCT 'error', t.name,
        'has another name than when it was tracked: rows that nobody changed since are not in the log under this one',
        format('auditlab track DSN %s', t.name)
    FROM tables AS t JOIN ours AS o ON o.tgrelid = t.oid
    WHERE NOT t.relispartition AND o.proname IN ('capture_insert', 'capture_row')
        AND NOT EXISTS (SELECT FROM audit.tracked_table AS k WHERE k.entity_type = t.entity_type)
    UNION ALL
    SELECT 'error', t.name, format('lacks the trigger %s, so what it would log is lost', needed.name),
        format('auditlab track DSN %s', t.name)
    FROM audit.tracked_table AS k
    JOIN tables AS t ON t.entity_type = k.entity_type
    CROSS JOIN LATERAL unnest(
        CASE k.level WHEN 'row' THEN ARRAY['auditlab_row', 'auditlab_truncate']
        ELSE ARRAY['auditlab_insert', 'auditlab_update', 'auditlab_delete', 'auditlab_truncate'] END
    ) AS needed (name)
    WHERE EXISTS (SELECT FROM ours AS o WHERE o.tgrelid = t.oid AND o.proname <> 'capture_truncate')
        AND NOT EXISTS (SELECT FROM ours AS o WHERE o.tgrelid = t.oid AND o.tgname = needed.name)
    UNION ALL
    SELECT 'error', t.name, format('is a partition of %s without a TRUNCATE trigger of its own', t.root::regclass),
        format('auditlab track DSN %s', t.root::regclass)
    FROM tables AS t
    WHERE t.relispartition
        AND EXISTS (SELECT FROM ours AS o WHERE o.tgrelid = t.root AND o.proname = 'capture_row')
        AND NOT EXISTS (SELECT FROM ours AS o WHERE o.tgrelid = t.oid AND o.proname = 'capture_truncate')
    UNION ALL
    SELECT 'error', t.name, 'has statement triggers, which miss rows now that the table has parents or children',
        format('auditlab track DSN %s', t.root::regclass)
    FROM tables AS t
    WHERE EXISTS (SELECT FROM ours AS o WHERE o.tgrelid = t.oid AND o.proname = 'capture_update')
        AND EXISTS (SELECT FROM pg_inherits AS h WHERE t.oid IN (h.inhrelid, h.inhparent))
    UNION ALL
    SELECT 'warning', t.name, 'has the trigger of the published log: it misses TRUNCATE and is slower',
        format('auditlab track DSN %s', t.name)
    FROM tables AS t
    WHERE EXISTS (SELECT FROM ours AS o WHERE o.tgrelid = t.oid AND o.proname = 'log_entity_change')
    UNION ALL
    SELECT 'error', t.name, 'its primary key is not the one that was there when tracking began',
        format('auditlab track DSN %s', t.name)
    FROM tables AS t JOIN ours AS o ON o.tgrelid = t.oid
    WHERE o.proname IN ('capture_insert', 'capture_row') AND NOT o.passed_on AND o.tgnargs > 0
        AND string_to_array(rtrim(encode(o.tgargs, 'escape'), '\000'), '\000')
            IS DISTINCT FROM (
                SELECT string_to_array(i.indkey::text, ' ') FROM pg_index AS i WHERE i.indrelid = t.oid AND i.indisprimary
            )
)
SELECT f.severity, f.subject, f.message, f.remedy FROM findings AS f ORDER BY 2, 3
