-- Whether this database keeps marks as our capture does, and this role may read all of them.
SELECT EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'audit'
      AND c.relname = 'mark'
      AND 8 = (
          SELECT count(*) FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
          WHERE a.attrelid = c.oid AND NOT a.attisdropped
            AND (a.attname, coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text) IN (
                ('id', 'bigint'), ('began', 'timestamp with time zone'), ('at', 'timestamp with time zone'),
                ('snapshot', 'pg_snapshot'), ('snapshot', 'txid_snapshot'), ('lsn', 'pg_lsn'), ('system', 'text'),
                ('timeline', 'integer'), ('name', 'text')
            )
      )
      AND has_schema_privilege(n.oid, 'USAGE')
      AND has_table_privilege(c.oid, 'SELECT')
      AND NOT row_security_active(c.oid)
) AS readable
