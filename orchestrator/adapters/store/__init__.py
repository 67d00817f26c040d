"""The state store: entries, passes, alerts and reports, in SQLite or SQL Server."""
