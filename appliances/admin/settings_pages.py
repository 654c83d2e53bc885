"""Site configuration, e-mail configuration and API configuration."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from appliances import mail, selectors
from appliances.admin.base import SingletonAdmin
from appliances.admin.sites import login_site
from appliances.admin.typed import ModelForm
from appliances.host_names import clean_host, clean_host_name
from appliances.models import ApiConfiguration, EmailConfiguration, Site

TEST = "_test"  # the name of the button that sends a test mail
PORT_LIMITS = "A port is a whole number from 1 to 65535."


class SiteForm(ModelForm[Site]):
    """The site; its public name may not be the own name of either appliance."""

    class Meta:
        model = Site
        fields = ["host_name", "name", "portal_text"]

    def clean_host_name(self) -> str:
        """A host name that leads to whichever appliance is primary."""
        name = clean_host_name(self.cleaned_data["host_name"])
        relationship = selectors.relationship()
        own = {settings.HOST_NAME, selectors.this_appliance().host_name}
        if relationship is not None:
            own |= {relationship.peer_host, relationship.reverse_host, relationship.peer_name}
        if name in {host.lower() for host in own}:
            raise ValidationError(
                "This is the own name of one appliance. The public host name is shared by both, so it must be another."
            )
        return name


@admin.register(Site, site=login_site)
class SiteAdmin(SingletonAdmin[Site]):
    """Site configuration."""

    form = SiteForm

    def the_row(self) -> Site:
        """The site, with the configured public name at first."""
        return selectors.site()


class EmailForm(ModelForm[EmailConfiguration]):
    """How mail is sent. The password goes in and never comes out."""

    new_password = forms.CharField(
        label="Password",
        required=False,
        max_length=200,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    remove_password = forms.BooleanField(label="Remove the password", required=False)

    class Meta:
        model = EmailConfiguration
        fields = ["from_address", "relay_host", "relay_port", "encryption", "username", "admin_contacts"]
        error_messages = {"relay_port": dict.fromkeys(("min_value", "max_value", "invalid"), PORT_LIMITS)}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "remove_password" in self.fields:
            kept = "A password is set. It is never shown again; leave this empty to keep it."
            self.fields["new_password"].help_text = kept if self.instance.sealed_password else "No password is set."
            self.fields["remove_password"].disabled = not self.instance.sealed_password

    def clean_relay_host(self) -> str:
        """A host name or an IP address, or nothing."""
        typed = self.cleaned_data["relay_host"]
        return clean_host(typed) if typed else ""

    def clean_admin_contacts(self) -> str:
        """E-mail addresses with one space between them, each once."""
        addresses = list(dict.fromkeys(self.cleaned_data["admin_contacts"].replace(",", " ").split()))
        for address in addresses:
            try:
                validate_email(address)
            except ValidationError as error:
                raise ValidationError("“%(address)s” is not an e-mail address.", params={"address": address}) from error
        return " ".join(addresses)

    def clean(self) -> dict[str, Any]:
        """Either a new password or none."""
        cleaned = super().clean() or {}
        if cleaned.get("new_password") and cleaned.get("remove_password"):
            raise ValidationError("Either type a new password or remove the present one.")
        return cleaned

    def save(self, commit: bool = True) -> EmailConfiguration:
        """Save, with the password sealed by the data key of this appliance."""
        if self.cleaned_data.get("new_password"):
            self.instance.password = self.cleaned_data["new_password"]
        elif self.cleaned_data.get("remove_password"):
            self.instance.password = ""
        return super().save(commit)


@admin.register(EmailConfiguration, site=login_site)
class EmailConfigurationAdmin(SingletonAdmin[EmailConfiguration]):
    """E-mail configuration."""

    form = EmailForm
    change_form_template = "admin/email_configuration.html"
    fieldsets = [
        ("Sender", {"fields": ["from_address", "admin_contacts"]}),
        (
            "SMTP relay server",
            {"fields": ["relay_host", "relay_port", "encryption", "username", "new_password", "remove_password"]},
        ),
    ]

    def get_fieldsets(self, request: Any, obj: EmailConfiguration | None = None) -> Any:
        """Without the password where nothing can be changed."""
        if self.has_change_permission(request, obj):
            return self.fieldsets
        return [
            (title, {"fields": [name for name in options["fields"] if not str(name).endswith("_password")]})
            for title, options in self.fieldsets or []
        ]

    def response_change(self, request: HttpRequest, obj: EmailConfiguration) -> HttpResponse:
        """Back to the form; where that was asked for, a test mail is sent first, by what is saved."""
        response = super().response_change(request, obj)
        if TEST in request.POST:  # a server may take long: nothing else waits for it once this is committed
            transaction.on_commit(lambda: self._send_test(request))
        return response

    def _send_test(self, request: HttpRequest) -> None:
        try:
            receivers = " and ".join(mail.send_test())
        except mail.MailNotSent as error:
            self.message_user(request, f"The test mail was not sent. {error}", messages.ERROR)
        else:
            sentence = f"The mail server took a test mail to {receivers}. Look whether it arrives."
            self.message_user(request, sentence, messages.SUCCESS)


@admin.register(ApiConfiguration, site=login_site)
class ApiConfigurationAdmin(SingletonAdmin[ApiConfiguration]):
    """API configuration."""

    fields = ["enable_xml_api", "enable_session_api"]
