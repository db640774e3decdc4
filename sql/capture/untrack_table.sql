-- End the tracking of one table ($1); how many triggers were dropped.
SELECT audit.untrack($1::text::regclass) AS dropped
