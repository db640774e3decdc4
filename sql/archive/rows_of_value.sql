-- Of the rows of some Parquet files ($files) that have a value ($value) in a column (entity_key) some columns ($columns).
SELECT COLUMNS($columns)
FROM read_parquet($files, filename => true, file_row_number => true)
WHERE entity_key = $value
