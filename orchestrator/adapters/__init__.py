"""The outside world behind the ports: Databricks, the database, the queue, Azure, webhooks, time."""
