"""A local Azure Functions host: runs the app of a folder where Core Tools cannot be had. Never deployed."""
