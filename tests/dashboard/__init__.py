"""The dashboard in a real browser, with a real host, queue and state store and a simulated Databricks."""
