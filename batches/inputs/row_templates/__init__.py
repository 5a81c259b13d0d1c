"""Templates that make a prompt of each row of a table, bounded in time and size."""
