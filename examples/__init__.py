"""Real input for the local stack: notebook-like files, the rows that run them and the data they read."""
