"""Block devices: one interface, many backends. `device` states the rules that all of them keep.

Where the bytes are:

* `image`: an image file or a real block device of the host;
* `ramdisk`: memory;
* `remote`: a file object that reads from somewhere else.

What lies between a device and its user; each is a device itself:

* `wrapper`: the common part of the ones below, forwards everything;
* `partition`: a byte window of another device (`Slice`), and the reader of partition tables;
* `table`: their writer;
* `recorder`: remembers writes and flushes in order, and rebuilds the image as of any point between them;
* `fault`: makes chosen operations fail.

How users get one:

* `open`: from what a user typed (``disk.img:p0s1``) to an open, locked device;
* `lock`: keeps two users of the same bytes apart, and says who holds them.
"""

from minixfs.hw.blockdev.device import BlockDevice

__all__ = ["BlockDevice"]
