"""VFS and what runs it: the switch between clients (the kernel through FUSE, `process.Process`) and file servers.

Lock order, left before right (`tll.Rank`; the specification is vfs 2.4):

    process -> two-path -> mount (vmnt) -> vnode -> open file (filp)

* Nobody takes a lock to the left of one that it holds. Two of one kind only under a common lock further left.
* A walk locks one mount at a time. The two-path lock serialises link and rename, which need two parents.
* A reference (``ref_count``) is taken before waiting for an object's lock, so nothing vanishes under a waiter.
* State changes only across an await; what is read, tested and changed without one is atomic.

A request is a `call.Call`: it holds a worker slot, its credentials, and the list of locks that it owns. `LockChecker`
proves the order in tests and that a finished call holds nothing.
"""
