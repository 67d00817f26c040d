"""What the app costs beside what it would replace: prices and loads from a file, tables in Markdown."""
