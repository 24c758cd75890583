"""What makes a database of one schema one of the next; `sql_migrate` runs it."""
