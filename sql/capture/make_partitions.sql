-- Make the partitions of this month and of $1 more; one row a partition that was made.
SELECT made.partition, made.action, made.rows_moved FROM audit.create_partitions($1::integer) AS made
