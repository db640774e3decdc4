-- Track one table ($1), with a baseline ($2), with images of truncated rows ($3); what was done.
SELECT done.entity_type, done.level, done.action, done.baseline_rows
FROM audit.track($1::text::regclass, $2::boolean, $3::boolean) AS done
