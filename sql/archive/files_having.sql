-- Which of some Parquet files ($files) have rows of a value ($value) in a column (entity_key).
SELECT DISTINCT filename
FROM read_parquet($files, filename => true, union_by_name => true)
WHERE entity_key = $value
