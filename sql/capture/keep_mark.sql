-- The moment as a mark ($1, its name), kept in audit.mark.
SELECT taken.began, taken.at, taken.snapshot::text AS snapshot, taken.lsn::text AS lsn, taken.system, taken.timeline,
       taken.database, taken.name
FROM audit.take_mark($1::text) AS taken
