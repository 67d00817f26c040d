"""A Databricks workspace's Jobs REST API on one machine: ``docs/simulator.md``."""
