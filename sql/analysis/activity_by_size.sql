-- Transactions by the number of their changes. Changes without a transaction id are in none of them.
WITH sizes AS (
  SELECT c.transaction_id, count(*) AS changes
  FROM changes AS c
  WHERE c.operation <> 'SNAPSHOT' AND c.transaction_id IS NOT NULL
  GROUP BY c.transaction_id
),
ranges AS (
  SELECT
    s.changes,
    CASE
      WHEN s.changes = 1 THEN 1 WHEN s.changes <= 5 THEN 2 WHEN s.changes <= 20 THEN 6
      WHEN s.changes <= 100 THEN 21 WHEN s.changes <= 1000 THEN 101 ELSE 1001
    END AS at_least
  FROM sizes AS s
)
SELECT r.at_least, max(r.changes) AS largest, count(*) AS transactions, sum(r.changes) AS changes
FROM ranges AS r
GROUP BY r.at_least
ORDER BY r.at_least
