"""File servers: `protocol` is what VFS asks of each, `server` what all disk servers share, `libminixfs` their block
cache; `mfs` is the MINIX file system. Nothing in here knows an event loop; what has to wait does so in the device."""
