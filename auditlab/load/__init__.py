"""Rows come in: from PostgreSQL, from anything with an Arrow stream, from Parquet files."""
