"""Content like that of a real support site, the same at every run: for trying the product out and for its tests."""
