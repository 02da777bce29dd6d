"""Files that survive crashes: atomic writes, locks, the cache, JSON."""
