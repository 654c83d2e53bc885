"""The hands: all that touches this machine."""
