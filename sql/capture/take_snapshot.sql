-- A snapshot of the entities ($1, the name of its mark; $2, also where few changes came; $3, how many to keep).
SELECT (done.kept).began, (done.kept).at, (done.kept).snapshot::text AS snapshot, (done.kept).lsn::text AS lsn,
       (done.kept).system, (done.kept).timeline, (done.kept).database, (done.kept).name,
       done.entities, done.changes, done.removed
FROM audit.take_snapshot($1::text, $2::boolean, $3::integer) AS done
