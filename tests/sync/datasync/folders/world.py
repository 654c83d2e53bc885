"""What the tests of folders do on either appliance."""

from __future__ import annotations


def folder(mode: str, include: str, exclude: str) -> None:
    """The folder of the tests has these rules."""
    from appliances.models import Folder

    rules = {"mode": mode, "include": include, "exclude": exclude, "enabled": True}
    Folder.objects.update_or_create(name="web", defaults=rules)


def place(path: str) -> None:
    """It lies here on this appliance, and no look is remembered."""
    import shutil

    from django.conf import settings

    from appliances.models import FolderPlace

    shutil.rmtree(settings.FOLDER_MANIFESTS, ignore_errors=True)
    FolderPlace.objects.update_or_create(name="web", defaults={"path": path, "outcome": {}, "agreed": ""})


def outcome() -> dict[str, object]:
    """What this appliance shows of the folder."""
    from appliances.models import FolderPlace

    return dict(FolderPlace.objects.get(name="web").outcome)
