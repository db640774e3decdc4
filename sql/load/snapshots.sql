-- The snapshots of this log's entities, in their order, each with its mark, as far as they are of this system.
SELECT s.entities, s.last_id, s.partial,
       m.began, m.at, m.snapshot::text AS snapshot, m.lsn::text AS lsn, m.system, m.timeline, m.database, m.name
FROM audit.snapshot AS s
JOIN audit.mark AS m ON m.id = s.mark
WHERE m.system = (SELECT system_identifier::text FROM pg_control_system())
ORDER BY s.mark
