-- What was dropped from the log after it was archived: up to when, the highest id and transaction among it, and of which
-- entity types (a JSON list; those that were dropped by an auditlab which did not keep them are not in it).
SELECT count(*) AS partitions,
       max(k.ends_at) AS until,
       max(k.last_id) AS last_id,
       max(k.last_transaction) AS last_transaction,
       (SELECT coalesce(jsonb_agg(DISTINCT t.name), '[]')::text
        FROM audit.entity_change_log_pruned AS p
        CROSS JOIN LATERAL jsonb_object_keys(
            coalesce(nullif(to_jsonb(p) -> 'entity_types', 'null'), '{}')
        ) AS t (name)) AS entity_types
FROM audit.entity_change_log_pruned AS k
