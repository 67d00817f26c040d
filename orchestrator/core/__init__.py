"""The rules and the records, pure: nothing here imports anything but the standard library."""
