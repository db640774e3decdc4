-- Where a log begins now: what is older than all of it was taken out from its end.
SELECT min(l.id)::bigint AS id,
       min(l.changed_at)::timestamptz AS changed_at
FROM (SELECT * FROM audit.entity_change_log) AS l
