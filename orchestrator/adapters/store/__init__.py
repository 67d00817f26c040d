"""The state store: one class over two databases, SQLite and SQL Server."""
