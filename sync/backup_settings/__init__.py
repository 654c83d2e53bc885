"""Backup Settings of this appliance: the form, what it says about itself while somebody types, and what is advised."""

from sync.backup_settings.advice import Advice, advice
from sync.backup_settings.drawing import Drawing, draw
from sync.backup_settings.form import BackupSettingsForm
from sync.backup_settings.grades import Grade, grades

__all__ = ["Advice", "BackupSettingsForm", "Drawing", "Grade", "advice", "draw", "grades"]
