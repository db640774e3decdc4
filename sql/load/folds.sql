-- Partitions of the source's tables and the table they belong to: a row trigger logs the partition's name.
SELECT n.nspname || '.' || c.relname AS leaf,
       m.nspname || '.' || r.relname AS entity_type
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS r ON r.oid = pg_partition_root(c.oid)
JOIN pg_namespace AS m ON m.oid = r.relnamespace
WHERE c.relispartition
  AND c.relkind IN ('r', 'p', 'f')
ORDER BY leaf
