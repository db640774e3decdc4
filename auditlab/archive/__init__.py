"""The change log's long-term home: Parquet files, and a chain of manifests that says what they must be."""
