"""Mutation testing: change one thing of the code or the SQL at a time, and see whether a test notices."""
