"""The results of a batch: the table, a search, a single one."""
