"""Django's ModelAdmin and ModelForm with the model as a type argument, which Django itself knows in its stubs only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import admin

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ModelAdmin
    from django.forms import ModelForm as ModelForm
else:

    class ModelAdmin(admin.ModelAdmin):
        """`ModelAdmin[Site]` is `ModelAdmin` while the program runs."""

        def __class_getitem__(cls, model):
            return cls

    class ModelForm(forms.ModelForm):
        """`ModelForm[Site]` is `ModelForm` while the program runs."""

        def __class_getitem__(cls, model):
            return cls


__all__ = ["ModelAdmin", "ModelForm"]
