"""Pages that are not of the consoles' records."""
