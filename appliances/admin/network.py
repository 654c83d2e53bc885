"""Networking > IP Configuration: the addresses of this appliance, listed, and compared with its interfaces."""

from __future__ import annotations

import ipaddress
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from appliances import addresses, gate, ip_configuration, selectors
from appliances.admin.base import ForgivingAdmin
from appliances.admin.sites import appliance_site
from appliances.admin.typed import ModelForm
from appliances.choices import Blocker, Role
from appliances.host.interfaces import interfaces
from appliances.models import IPConfig, SharedIP

MOST_ADDRESSES = 64
FOUND = "unique_addresses"  # on a request: what was found before its transaction


class IPConfigForm(ModelForm[IPConfig]):
    """One address with its mask and its interface."""

    mask = forms.CharField(
        label="Subnet mask or prefix length",
        max_length=15,
        help_text="Such as 255.255.255.0 or 24; for IPv6 such as 64.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    interface = forms.ChoiceField(label="Interface")
    unique: frozenset[str] | None = None  # at which the peer reaches this appliance, found before the transaction

    class Meta:
        model = IPConfig
        fields = ["address", "interface", "enabled"]
        widgets = {"address": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})}
        help_texts = {
            "address": "Such as 192.0.2.52 or 2001:db8::52.",
            "enabled": "Whether this appliance is to use it.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.was = (self.instance.address, self.instance.enabled) if self.instance.pk else None
        if self.instance.pk:
            self.initial["mask"] = self.instance.prefix_length
        choices = {
            found.name: f"{found.name} ({'link' if found.has_carrier else 'no link'})"
            for found in interfaces()
            if settings.ALLOW_LOOPBACK_TARGETS or not found.is_loopback
        }
        if self.instance.interface:
            choices.setdefault(self.instance.interface, f"{self.instance.interface} (not there now)")
        field = self.fields["interface"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = list(choices.items())
        if not choices:
            field.help_text = "This machine has no network interface but the loopback."

    def clean_address(self) -> str:
        """The address in its short form; one that an appliance can have for itself alone."""
        address = ipaddress.ip_address(self.cleaned_data["address"])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            raise ValidationError(f"Enter it as IPv4 address: {address.ipv4_mapped}.")
        why = addresses.refusal(address, allow_loopback=settings.ALLOW_LOOPBACK_TARGETS)
        if why:
            raise ValidationError(f"{address} cannot be an address of this appliance: {why}.")
        relationship = selectors.relationship()
        if relationship is not None and relationship.peer_host == str(address) != relationship.reverse_host:
            raise ValidationError(f"{address} is the address of {relationship.peer_name}. Each appliance has its own.")
        return str(address)

    def clean(self) -> dict[str, Any]:
        """Address and mask fit together, and the peer still reaches this appliance."""
        cleaned = super().clean() or {}
        if "address" in cleaned and "mask" in cleaned:
            self._clean_mask(ipaddress.ip_address(cleaned["address"]), cleaned["mask"].strip().removeprefix("/"))
        if self.was and self.was[1] and not self.errors:
            is_given_up = cleaned["address"] != self.was[0] or not cleaned["enabled"]
            why = ip_configuration.must_stay(self.was[0], self.unique) if is_given_up else ""
            if why:
                raise ValidationError(why)
        if not self.was and IPConfig.objects.count() >= MOST_ADDRESSES:
            raise ValidationError(f"The list holds at most {MOST_ADDRESSES} addresses. Remove one first.")
        return cleaned

    def _clean_mask(self, address: addresses.Address, mask: str) -> None:
        length = prefix_length(mask, address.version)
        if length is None:
            most = address.max_prefixlen
            form = "a subnet mask such as 255.255.255.0, or " if address.version == 4 else ""
            return self.add_error("mask", f"Enter {form}a prefix length from 1 to {most}.")
        network = ipaddress.ip_network((address, length), strict=False)
        if network.num_addresses > 2 and address == network.network_address:
            return self.add_error("address", f"{address} is the address of the network {network} itself.")
        if address.version == 4 and network.num_addresses > 2 and address == network.broadcast_address:
            return self.add_error("address", f"{address} is the broadcast address of the network {network}.")
        self.instance.prefix_length = length
        return None


def prefix_length(mask: str, version: int) -> int | None:
    """The prefix length that a number or an IPv4 subnet mask says; None if it says none."""
    most = 32 if version == 4 else 128
    if mask.isascii() and mask.isdigit() and len(mask) <= 3:
        return int(mask) if 1 <= int(mask) <= most else None
    try:
        bits = int(ipaddress.IPv4Address(mask))
    except ValueError:
        return None
    length = bits.bit_count()
    is_mask = version == 4 and length and bits == (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
    return length if is_mask else None


@admin.register(IPConfig, site=appliance_site)
class IPConfigAdmin(ForgivingAdmin[IPConfig]):
    """The list of addresses. What is saved here changes nothing on an interface: the page says so, and what to do."""

    form = IPConfigForm
    fields = ["address", "mask", "interface", "enabled"]
    actions = None

    def get_urls(self) -> list[URLPattern]:
        """The pages of the records, and the switch of one address."""
        view = self.admin_site.admin_view(require_POST(self.switch))
        return [path("<int:pk>/switch/", view, name="appliances_ipconfig_switch"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, each address with what its interface really has, and the interfaces."""
        found, here = interfaces(), gate.of(request)
        is_holder = here.role == Role.PRIMARY and (here.is_serving or here.operation_running)
        lines = ip_configuration.lines(found, _ticked(), is_holder=None if here.role == Role.NONE else is_holder)
        context = {
            **self.admin_site.each_context(request),
            "title": "IP Configuration",
            "lines": lines,
            "interfaces": found,
            "listed": [line.row.with_prefix for line in lines],
            "blocker": Blocker.NO_NETWORK_RIGHTS,
            "read_at": timezone.now(),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "console/ip_configuration.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form with one button, which leads back to the list."""
        context = {
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
            "page_help": "Saving changes the list. Nothing is changed on the interface.",
            **(extra_context or {}),
        }
        if request.method == "POST" and object_id is not None:
            setattr(request, FOUND, ip_configuration.unique_addresses())
        return super().changeform_view(request, object_id, form_url, context)

    def get_form(
        self, request: HttpRequest, obj: IPConfig | None = None, change: bool = False, **kwargs: Any
    ) -> type[IPConfigForm]:
        """The form of this request, which knows the unique addresses: it is checked within a transaction."""
        form: type[IPConfigForm] = super().get_form(request, obj, change, **kwargs)  # type: ignore[assignment]
        form.unique = getattr(request, FOUND, None)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the link beside an address of an interface fills in."""
        address, _, mask = request.GET.get("address", "").partition("/")
        return {"address": address, "mask": mask, "interface": request.GET.get("interface", "")} if address else {}

    def switch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The address is enabled or disabled in the list."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        row = IPConfig.objects.filter(pk=pk).first()
        if row is None:
            return self.back_to_list(request)
        wanted = request.POST.get("enabled") == "1"
        is_given_up = row.enabled and not wanted
        why = ip_configuration.must_stay(row.address, ip_configuration.unique_addresses()) if is_given_up else ""
        if why:
            messages.error(request, why)
        elif row.enabled != wanted:
            row.enabled = wanted
            row.save(update_fields=["enabled"])
            word = "enabled" if wanted else "disabled"
            self.log_change(request, row, f"{word.capitalize()}.")
            messages.success(request, f"{row} is {word} in this list.")
        return self._to_list()

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """First what will happen, then, confirmed, the address is gone from the list."""
        row = self.get_object(request, object_id)
        if row is None:
            return self.back_to_list(request)
        why = ip_configuration.must_stay(row.address, ip_configuration.unique_addresses()) if row.enabled else ""
        if why:
            messages.error(request, why)
            return self._to_list()
        if request.method == "POST":
            self.log_deletions(request, IPConfig.objects.filter(pk=row.pk))
            row.delete()
            messages.success(request, f"{row} is no longer in this list.")
            return self._to_list()
        context = {
            **self.admin_site.each_context(request),
            "title": f"Remove {row}",
            "row": row,
            "is_shared": row.address in _ticked(),
            "removals": ip_configuration.removals(row, interfaces()),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "console/ip_remove.html", context)

    def response_add(self, request: HttpRequest, obj: IPConfig, post_url_continue: str | None = None) -> HttpResponse:
        """To the list, which shows what its interface has."""
        messages.success(request, f"{obj} is in the list.")
        return self._to_list()

    def response_change(self, request: HttpRequest, obj: IPConfig) -> HttpResponse:
        """To the list, which shows what its interface has."""
        messages.success(request, f"{obj} is saved.")
        return self._to_list()

    def _to_list(self) -> HttpResponse:
        return HttpResponseRedirect(reverse("appliance:appliances_ipconfig_changelist"))


def _ticked() -> frozenset[str]:
    return frozenset(SharedIP.objects.values_list("address", flat=True))
