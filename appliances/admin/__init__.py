"""The records of the two consoles, by noun; importing this package registers them."""

from appliances.admin import accounts, file_store, folders, network, retention, settings_pages, support_sessions

__all__ = ["accounts", "file_store", "folders", "network", "retention", "settings_pages", "support_sessions"]
