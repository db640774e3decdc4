-- Keep that a partition is dropped: its name, span, rows, last id and transaction, the archive that has its rows, and how many are of which type.
INSERT INTO audit.entity_change_log_pruned AS kept (partition, starts_at, ends_at, rows, last_id, last_transaction, archive, entity_types)
VALUES ($1::text, $2::text::timestamptz, $3::text::timestamptz, $4::bigint, $5::bigint, $6::bigint, $7::text, $8::text::jsonb)
RETURNING kept.ends_at
