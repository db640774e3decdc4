-- The marks that were taken of this system, in their order.
SELECT m.began, m.at, m.snapshot::text AS snapshot, m.lsn::text AS lsn, m.system, m.timeline, m.database, m.name
FROM audit.mark AS m
WHERE m.system = (SELECT system_identifier::text FROM pg_control_system())
ORDER BY m.id
