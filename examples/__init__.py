"""Real input for the local stack: notebook-like files, the entries that run them and the data they read."""
