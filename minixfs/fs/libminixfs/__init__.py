"""libminixfs: what the disk file servers share. `cache` is the block cache, `heuristic` decides how large it is."""
