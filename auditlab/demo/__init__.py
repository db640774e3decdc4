"""``auditlab demo``: the whole of auditlab on a PostgreSQL that starts by itself."""
