"""The real settings plus a handful of lines: an own data folder, a fast hash for passwords, mail kept in memory."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_DATA_DIR = tempfile.mkdtemp(prefix="failover-tests-")
atexit.register(shutil.rmtree, _DATA_DIR, ignore_errors=True)
os.environ |= {"DATA_DIR": _DATA_DIR, "HOST_NAME": "site1.example.com", "LOG_FORMAT": "text", "LOG_LEVEL": "WARNING"}
for _name in ("REDIS_URL", "CREDENTIALS_DIRECTORY", "LISTEN", "PUBLIC_HOST_NAME", "ALLOW_LOOPBACK_TARGETS"):
    os.environ.pop(_name, None)

from failover_site.settings import *  # noqa: E402, F403  (needs the environment above)

FOLDER_ROOTS = [Path(tempfile.gettempdir()).resolve()]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
SECURE_SSL_REDIRECT = False
HEALTH_FILE = DATA_DIR / "health.json"  # noqa: F405  (goes with the folder)
for _folder in (STATIC_ROOT, STAGING_DIR):  # noqa: F405
    _folder.mkdir(exist_ok=True)
