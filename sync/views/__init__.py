"""The pages of the pair: Failover (with its live parts) and Security."""
