"""Writes with names, by noun: what changes on this box."""

from appliances.services.keys import generate_inter_appliance_key, set_inter_appliance_key

__all__ = ["generate_inter_appliance_key", "set_inter_appliance_key"]
