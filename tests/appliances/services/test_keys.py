"""The inter-appliance key: generated on one appliance, typed on the other."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from appliances.models import InterApplianceKey
from appliances.services import keys
from appliances.services.keys import generate_inter_appliance_key, inter_appliance_secret, set_inter_appliance_key

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def cheap(settings):
    settings.INTER_APPLIANCE_KEY_SCRYPT_N = 2**4


def test_a_generated_key_is_52_characters_in_groups_and_new_each_time():
    key = generate_inter_appliance_key()
    assert len(key.replace("-", "")) == 52
    assert {len(group) for group in key.split("-")} == {4}
    assert key != generate_inter_appliance_key()


def test_the_same_key_has_the_same_fingerprint_however_it_is_typed():
    key = generate_inter_appliance_key()
    first = set_inter_appliance_key(key).key_id
    for typed in (key.lower(), key.replace("-", ""), f"  {key.replace('-', ' ')}\n"):
        assert set_inter_appliance_key(typed).key_id == first
    assert set_inter_appliance_key(generate_inter_appliance_key()).key_id != first


def test_only_the_stretched_key_is_kept_and_sealed():
    key = generate_inter_appliance_key()
    row = set_inter_appliance_key(key)
    secret = inter_appliance_secret()
    assert secret == keys.stretch(keys.canonical(key))
    stored = bytes(InterApplianceKey.objects.get().sealed_key)
    assert secret not in stored
    assert key.encode() not in stored
    assert row.set_at is not None


def test_a_weak_key_is_refused_and_the_one_before_stays():
    before = set_inter_appliance_key(generate_inter_appliance_key()).key_id
    with pytest.raises(ValidationError, match="at least 20"):
        set_inter_appliance_key("secret")
    assert InterApplianceKey.objects.get().key_id == before


def test_without_a_key_there_is_no_secret():
    assert inter_appliance_secret() is None


def test_the_real_cost_is_128_mib_a_guess():
    assert 128 * keys.SCRYPT_R * keys.SCRYPT_N == 128 * 1024 * 1024
