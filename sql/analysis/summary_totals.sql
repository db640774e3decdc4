-- How much happened: changes and transactions are different questions. A SNAPSHOT is nobody's change and is not counted.
SELECT
  count(*) AS changes,
  count(DISTINCT c.transaction_id) AS transactions,
  count(DISTINCT c.entity) AS entities,
  count(DISTINCT c.changed_by) AS users,
  min(c.changed_at) AS first_change,
  max(c.changed_at) AS last_change
FROM changes AS c
WHERE c.operation <> 'SNAPSHOT'
