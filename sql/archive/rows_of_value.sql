-- The rows of some Parquet files of the same columns ($files) that have a value ($value) in a column (entity_key).
SELECT *
FROM read_parquet($files, filename => true, file_row_number => true)
WHERE entity_key = $value
