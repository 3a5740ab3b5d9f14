"""Hardware below the file systems: block devices and how code waits for them.

* `runtime`: waiting without knowing an event loop;
* `blockdev`: the block-device interface, its backends, partitions.
"""
