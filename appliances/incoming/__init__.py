"""Support sessions and recordings come in: by API (`appliances.api`), or as files in a watched folder."""
