"""How moments are written on the pages: sortable, 24 hours, without a guess at the order of day and month."""
