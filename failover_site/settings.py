"""Settings of every environment, read from the environment (see `deploy/env.example`).

A value that cannot be used stops the start and names the variable.
"""

import os
import secrets
import shlex
import socket
import sys
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from appliances.host.broker import broker_socket, client_url
from appliances.host.kept_environment import kept
from appliances.host.runtime import runtime_folder
from failover_site.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- This appliance ---------------------------------------------------------------------------------------------
PAIR_DIR = Path(env.str("PAIR_DIR", default=str(BASE_DIR / "run"))).resolve()
DATA_DIR = Path(env.str("DATA_DIR", default=str(PAIR_DIR / "site1"))).resolve()
# A command of the shell goes by what its appliance was started with; a start goes by its own environment alone.
if sys.argv[1:2] not in (["appliance"], ["pair"]):
    env.ENVIRON = {**kept(DATA_DIR), **os.environ}
HOST_NAME = env.str("HOST_NAME", default=socket.gethostname())
LISTEN = env.list("LISTEN", default=["127.0.0.1:8443"])
PUBLIC_HOST_NAME = env.str("PUBLIC_HOST_NAME", default="support.example.com")
EXTRA_HOST_NAMES = env.list("EXTRA_HOST_NAMES", default=[])
ALLOW_LOOPBACK_TARGETS = env.bool("ALLOW_LOOPBACK_TARGETS", default=False)
LOOK_BY_NAME = env.bool("LOOK_BY_NAME", default=True)
FIRST_SYNC_DELAY_SECONDS = env.int("FIRST_SYNC_DELAY_SECONDS", default=60)
FENCING_COMMAND = env.str("FENCING_COMMAND", default="")
WITNESS_COMMAND = env.str("WITNESS_COMMAND", default="")
for _name, _command in {"FENCING_COMMAND": FENCING_COMMAND, "WITNESS_COMMAND": WITNESS_COMMAND}.items():
    try:
        shlex.split(_command)
    except ValueError as error:
        raise ImproperlyConfigured(f"{_name} cannot be read as words ({error}): {_command}") from error
CRASH_POINTS = env.bool("CRASH_POINTS", default=False)
PRODUCT = "failover-site"
PRODUCT_VERSION = "1.0.0"

SECRETS_DIR = Path(env.str("CREDENTIALS_DIRECTORY", default=str(DATA_DIR / "secrets")))
DATA_KEY_FILE = SECRETS_DIR / "data.key"
BLOB_DIR = DATA_DIR / "blobs"
STAGING_DIR = DATA_DIR / "staging"
HEALTH_FILE = runtime_folder(DATA_DIR) / "health.json"

# --- Room on the disk -------------------------------------------------------------------------------------------
BALLAST_MIB = env.int("BALLAST_MIB", default=256)
DISK_RESERVE_MIB = env.int("DISK_RESERVE_MIB", default=1024)
if BALLAST_MIB < 0 or DISK_RESERVE_MIB < 4:
    raise ImproperlyConfigured("BALLAST_MIB must be 0 or more, DISK_RESERVE_MIB 4 or more")

# --- Sessions and recordings that come in ------------------------------------------------------------------------
MAX_UPLOAD_GIB = env.int("MAX_UPLOAD_GIB", default=64)
if not 1 <= MAX_UPLOAD_GIB <= 64:
    raise ImproperlyConfigured("MAX_UPLOAD_GIB must be from 1 to 64: a data-sync moves no larger file")
UPLOAD_PATIENCE_SECONDS = env.int("UPLOAD_PATIENCE_SECONDS", default=24 * 3600)
INBOX_DIR = Path(env.str("INBOX_DIR", default=str(DATA_DIR / "inbox")))
INBOX_QUIET_SECONDS = env.int("INBOX_QUIET_SECONDS", default=10)

# --- Folders of the administrator's own ----------------------------------------------------------------------------
FOLDER_ROOTS = [Path(place) for place in env.list("FOLDER_ROOTS", default=["/srv"])]
for _root in FOLDER_ROOTS:
    if not _root.is_absolute() or _root == Path("/"):
        raise ImproperlyConfigured(f"FOLDER_ROOTS names absolute paths below /, separated by commas: {_root}")
FOLDER_MANIFESTS = DATA_DIR / "folders"

# Made at the first start of the appliance; a process without one signs nothing that outlives it.
SECRET_KEY_FILE = SECRETS_DIR / "django.key"
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    SECRET_KEY = SECRET_KEY_FILE.read_text() if SECRET_KEY_FILE.exists() else secrets.token_hex(48)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = False

# Which function tells pages what the role lets them do (the role is known one layer above `appliances`).
ROLE_GATE = "sync.gate.read"

# The names a request may come under are checked by appliances.middleware: they change while the site runs.
ALLOWED_HOSTS = ["*"]

# --- Applications -----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "appliances",
    "sync",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_htmx",
    "axes",
]

MIDDLEWARE = [
    "sync.api.check_health.CheckHealthMiddleware",  # first: no redirect, session or database before it
    "appliances.middleware.HostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "appliances.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "appliances.middleware.UploadLimitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "appliances.middleware.RoleGateMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "failover_site.urls"
WSGI_APPLICATION = "failover_site.wsgi.application"
AUTH_USER_MODEL = "appliances.Account"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database ---------------------------------------------------------------------------------------------------
SQLITE_OPTIONS = {
    # IMMEDIATE takes the write lock when a transaction begins: without it, concurrent writers meet "database is
    # locked". FULL makes a commit durable before it returns, which the role protocol needs.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'database.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"].setdefault("OPTIONS", {}).update(SQLITE_OPTIONS)
elif DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:/// or postgres://")
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# --- Broker -----------------------------------------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL", default=f"redis+socket://{broker_socket(DATA_DIR)}")
BROKER_SECONDS = 1.0  # it is on this machine or beside it: a slower answer is as good as none
BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
    "visibility_timeout": 43200,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A broker that hangs without closing must hold up nobody: a message is a hint, and the database says what is due.
    "socket_timeout": BROKER_SECONDS,
    "socket_connect_timeout": BROKER_SECONDS,
}
if REDIS_URL.startswith("filesystem://"):
    _folder = str(DATA_DIR / "messages")
    BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": _folder,
        "data_folder_out": _folder,
        "processed_folder": _folder,
        "control_folder": str(DATA_DIR / "message-control"),
    }
    CACHES: dict[str, dict[str, object]] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
else:
    if not REDIS_URL.startswith(("redis://", "rediss://", "redis+socket://")):
        raise ImproperlyConfigured("REDIS_URL must begin with redis://, rediss:// or redis+socket://")
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": client_url(REDIS_URL),
            "OPTIONS": {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS},
        }
    }

# --- Log-in and security ----------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 1 / 60
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "console/locked_out.html"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 3600
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_TEMP_DIR = STAGING_DIR  # the system's own may be small, or readable by others
# HSTS for sub-domains and preload: not ours to promise, and certificates may be self-issued.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# --- Language, time, static files -------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = ["failover_site.formats"]
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- REST framework ---------------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, object] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}

# --- Command API ------------------------------------------------------------------------------------------------
# Clients compare this text with what they expect: change it only for clients that expect another.
XML_NAMESPACE = env.str("XML_NAMESPACE", default="http://www.bomgar.com/namespaces/API/command")

# --- Logs -------------------------------------------------------------------------------------------------------
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logging_config(
    form=env.str("LOG_FORMAT", default="json"), level=env.str("LOG_LEVEL", default="INFO"), appliance=HOST_NAME
)
