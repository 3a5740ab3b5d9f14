"""The system calls, a module for each family. Each function is one call: it takes the running `call.Call`, the
place it works on (`path.Place`) or an open file, locks what the table of the specification (vfs 2.6) says, and asks
the file server.
"""
