-- The rows of a change log. A line that ends in "if <filter>" stays only where that filter is given; values come by settings.
SELECT l.*
FROM (SELECT * FROM audit.entity_change_log) AS l
WHERE true
  AND l.entity_type IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entity_types')::jsonb)) -- if entity_types
  AND l.changed_at >= current_setting('auditlab.start')::timestamptz -- if start
  AND l.changed_at < current_setting('auditlab.end')::timestamptz -- if end
  AND l.changed_by = current_setting('auditlab.user')::uuid -- if user
  AND (l.entity_id IN (SELECT jsonb_array_elements_text(current_setting('auditlab.entities')::jsonb)::uuid) OR l.entity_id IS NULL) -- if entities
  AND l.transaction_id >= current_setting('auditlab.from_transaction')::bigint -- if from_transaction
  AND l.transaction_id < current_setting('auditlab.to_transaction')::bigint -- if to_transaction
  AND l.transaction_id >= (SELECT txid_snapshot_xmin(current_setting('auditlab.unseen')::txid_snapshot)) -- if unseen
  AND CASE WHEN l.transaction_id > 2 THEN NOT txid_visible_in_snapshot(l.transaction_id::text::bigint, (SELECT current_setting('auditlab.unseen')::txid_snapshot)) END -- if unseen
  AND (l.changed_at >= current_setting('auditlab.since')::timestamptz OR l.id > current_setting('auditlab.since_id')::bigint) -- if since
  AND l.leaf IN (SELECT jsonb_array_elements_text(current_setting('auditlab.partitions')::jsonb)::oid) -- if partitions
  AND l.place >= '(0,0)'::tid -- if from_block
  AND l.place < '(0,0)'::tid -- if to_block
