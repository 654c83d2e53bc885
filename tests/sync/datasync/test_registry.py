"""Every model says whether it is synchronised."""

from __future__ import annotations

from django.apps import apps
from django.db import models

from appliances.choices import MergeMode
from sync.datasync.registry import (
    APPEND_ONLY,
    DATASETS,
    DEPENDENTS,
    MARK_FIELDS,
    NODE_LOCAL,
    SETTINGS,
    all_model_labels,
    by_label,
)


def test_every_model_of_every_app_is_synchronised_or_named_as_local() -> None:
    named = [dataset.label for dataset in DATASETS] + list(NODE_LOCAL)
    assert sorted(named) == sorted(all_model_labels()), "declare new models in sync/datasync/registry.py"


def test_every_field_of_a_synchronised_model_is_declared() -> None:
    for dataset in DATASETS:
        fields = {field.name for field in dataset.model._meta.concrete_fields}
        assert fields == {*dataset.fields, *dataset.keep_local}, dataset.label
        assert not set(dataset.fields) & set(dataset.keep_local), dataset.label


def test_settings_mirror_and_append_only_rows_are_united() -> None:
    assert {dataset.mode for dataset in SETTINGS} == {MergeMode.MIRROR}
    assert {dataset.mode for dataset in APPEND_ONLY} == {MergeMode.UNION}


def test_append_only_tables_have_marks_a_uuid_and_neither_foreign_keys_nor_secrets() -> None:
    for dataset in APPEND_ONLY:
        assert set(MARK_FIELDS) < set(dataset.fields)
        assert isinstance(dataset.model._meta.pk, models.UUIDField)
        assert not [field for field in dataset.model._meta.concrete_fields if field.is_relation]
        assert not dataset.secret_labels


def test_binary_fields_of_synchronised_models_are_declared_as_secrets() -> None:
    for dataset in DATASETS:
        binary = {field.name for field in dataset.model_fields if isinstance(field, models.BinaryField)}
        assert binary == {name for name, _ in dataset.secret_labels}, dataset.label


def test_local_rows_that_refer_to_settings_are_declared_as_dependents() -> None:
    synchronised = {dataset.model for dataset in SETTINGS}
    found = {
        (model._meta.label, field.name)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.label not in by_label()
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model in synchronised
    }
    assert found == set(DEPENDENTS)


def test_settings_come_in_the_order_in_which_they_refer_to_each_other() -> None:
    seen: set[object] = set()
    for dataset in SETTINGS:
        wanted = {f.related_model for f in dataset.model_fields if f.is_relation} - {apps.get_model("auth.Permission")}
        assert wanted <= seen, dataset.label
        seen.add(dataset.model)
