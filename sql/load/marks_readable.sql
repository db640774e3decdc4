-- Whether this database keeps marks as our capture does, and this role may read all of them.
SELECT EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'audit'
      AND c.relname = 'mark'
      AND 8 = (
          SELECT count(*) FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND NOT a.attisdropped
            AND (a.attname, a.atttypid) IN (
                ('id', 'bigint'::regtype), ('began', 'timestamptz'::regtype), ('at', 'timestamptz'::regtype),
                ('snapshot', 'pg_snapshot'::regtype), ('lsn', 'pg_lsn'::regtype), ('system', 'text'::regtype),
                ('timeline', 'integer'::regtype), ('name', 'text'::regtype)
            )
      )
      AND has_schema_privilege(n.oid, 'USAGE')
      AND has_table_privilege(c.oid, 'SELECT')
      AND NOT row_security_active(c.oid)
) AS readable
