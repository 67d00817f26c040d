"""The rules and records. Pure: nothing here does I/O or imports more than the standard library."""
