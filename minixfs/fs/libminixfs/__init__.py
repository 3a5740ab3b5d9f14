"""libminixfs: what the disk file servers share. `cache` is the block cache and `buffer` a block in it, `write_order`
says what must reach the disk before what, `heuristic` decides how large the cache is."""
