"""Read tables that are not text: XLSX workbooks and Parquet files, streamed and bounded."""
