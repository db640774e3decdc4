-- Who may do what: the triggers add to the log, auditors and archivers read it, applications have nothing to do with it.
REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM PUBLIC, auditlab_app, auditlab_auditor, auditlab_archiver, auditlab_writer;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA audit FROM PUBLIC, auditlab_app, auditlab_auditor, auditlab_archiver, auditlab_writer;
GRANT INSERT, SELECT ON audit.entity_change_log TO auditlab_writer;
GRANT SELECT ON audit.entity_change_log, audit.entity_snapshots, audit.tracked_table, audit.installation, audit.mark, audit.snapshot
    TO auditlab_auditor, auditlab_archiver;
REVOKE CREATE ON SCHEMA audit FROM auditlab_writer;
DO $$
BEGIN
    IF to_regclass('audit.entity_change_log_pruned') IS NOT NULL THEN  -- auditlab prune made it: what was dropped of the log
        GRANT SELECT ON audit.entity_change_log_pruned TO auditlab_auditor, auditlab_archiver;
    END IF;
END
$$;
