"""Pictures of a volume: `picture` says what is painted where, `terminal`, `svg` and `png` draw it."""
