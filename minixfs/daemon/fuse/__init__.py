"""The FUSE face: what the kernel asks becomes calls of VFS, and their results replies.

* `wire`: the messages, as the kernel lays them out.
* `session`: reads requests from the descriptor, has them answered, and settles with the kernel what both can do.
* `face`: the handlers, one for each request; `nodes`, `names` and `contents` have them, `shown` what they share, and
  `listing` the replies to listings.
* `known`: the nodes that the kernel knows, by what ids.
* `view`: how the mount shows what is on the volume.

pyfuse3 attaches a session to its directory and takes it away. The requests are read here, since it hands them on
without the node that they are about and answers a listing only with the attributes of all that is in it; so it can
offer neither names alone, nor directories that the kernel caches, nor opens that need no message.
"""
