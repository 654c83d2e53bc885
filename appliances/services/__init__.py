"""Writes with names, by noun."""
