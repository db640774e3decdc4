-- The ids of the log are handed out one by one, so that their order is the order of the changes
SELECT
    'error' AS severity,
    s.seqrelid::regclass::text AS subject,
    CASE
        WHEN s.seqcache > 1 THEN format('has CACHE %s: the order of rows cannot be trusted', s.seqcache)
        WHEN s.seqincrement < 1 THEN format('counts backwards (INCREMENT %s)', s.seqincrement)
        ELSE 'starts again when it ends (CYCLE)'
    END AS message,
    format('ALTER SEQUENCE %s CACHE 1 INCREMENT 1 NO CYCLE', s.seqrelid::regclass) AS remedy
FROM pg_sequence AS s
JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
WHERE d.refobjid = 'audit.entity_change_log'::regclass AND (s.seqcache > 1 OR s.seqincrement < 1 OR s.seqcycle)
