"""Data-sync against its rivals: work sets, contestants, and the table. Start at `deploy/bench/datasync.py`."""
