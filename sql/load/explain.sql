-- How many rows PostgreSQL expects of a query: FORMAT JSON, the query follows.
EXPLAIN (FORMAT JSON)
