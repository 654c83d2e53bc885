"""Data-sync: the backup holds what the primary holds. Start at `pull`, then `registry`, `export` and `apply`."""
