"""Folders of the administrator's own: `pull.pull_folders` on the backup, `serve` on the primary."""
