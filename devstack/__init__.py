"""The local stack: Azurite, a Databricks simulator, a Functions host and fakes. Never deployed."""
