"""VM: the owner of the stack's memory. `pool` holds the pages, `pagecache` knows what disk data is in them."""
