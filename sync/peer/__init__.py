"""The wire, both directions, without the server side."""
