-- What a query of the caller's gives, its columns as they are to be read.
SELECT asked_columns
FROM (
asked_query
) AS asked
