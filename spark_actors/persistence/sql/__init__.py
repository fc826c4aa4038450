"""Named SQL statements, one file per table or adapter."""
