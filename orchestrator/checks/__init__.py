"""What ``check`` looks at, from the command line and over HTTP: everything that the app needs."""
