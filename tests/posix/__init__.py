"""POSIX behaviours as a plain list that any directory can be fed to: `python -m tests.posix DIR`."""
