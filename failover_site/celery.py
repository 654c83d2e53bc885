"""The Celery application: queues, limits, and the tick.

The truth lies in the database; a message is only a hint. The tick derives again what is due, so a lost or doubled
message costs one tick. Each queue has a worker of its own (`appliances.host.programs`), and there is exactly one beat.
"""

import os
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "failover_site.settings")

TICK_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 3600.0
TAKE_IN_SECONDS = 10.0
SEAL_SECONDS = 15.0
SCRUB_SECONDS = 10.0
QUEUES = ("role", "sync", "hooks", "mail")
# A long data-sync must not hold up a role change, nor a slow mail server either.
ROUTES = {
    "sync.keep": {"queue": "role"},
    "sync.pull_data": {"queue": "sync"},
    "sync.drive": {"queue": "hooks"},
    "sync.count_differences": {"queue": "hooks"},
    "sync.mail": {"queue": "mail"},
    "sync.look_by_name": {"queue": "hooks"},
    "sync.housekeeping": {"queue": "hooks"},
    "sync.take_in": {"queue": "hooks"},
    "sync.seal": {"queue": "sync"},
    "sync.scrub": {"queue": "hooks"},
}

app = Celery("failover_site")


def configuration() -> dict[str, Any]:
    """Celery's configuration; read late, when the settings stand."""
    from django.conf import settings

    return {
        "broker_url": settings.REDIS_URL,
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_default_queue": "hooks",
        "task_create_missing_queues": False,
        "task_queues": {name: {"exchange": name, "routing_key": name} for name in QUEUES},
        "task_routes": ROUTES,
        # A message is read only when it can be worked on: a long data-sync must not sit on others.
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        # No task is acknowledged late, so nothing is cancelled by it; without it Celery prints an essay.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Once more, for a connection that is dead since the broker was started again.
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0},
        "broker_transport_options": settings.BROKER_TRANSPORT_OPTIONS,
        # The schedule is static, so it needs no file that a crash could damage.
        "beat_scheduler": "celery.beat:Scheduler",
        "beat_schedule": {
            # The keeper turns each second by itself; the tick only sees to it that it runs.
            "keep": {
                "task": "sync.keep",
                "schedule": TICK_SECONDS,
                "options": {"queue": "role", "expires": TICK_SECONDS},
            },
            "housekeeping": {
                "task": "sync.housekeeping",
                "schedule": HOUSEKEEPING_SECONDS,
                "options": {"queue": "hooks", "expires": HOUSEKEEPING_SECONDS},
            },
            "take-in": {
                "task": "sync.take_in",
                "schedule": TAKE_IN_SECONDS,
                "options": {"queue": "hooks", "expires": TAKE_IN_SECONDS},
            },
            "seal": {
                "task": "sync.seal",
                "schedule": SEAL_SECONDS,
                "options": {"queue": "sync", "expires": SEAL_SECONDS},
            },
            "scrub": {
                "task": "sync.scrub",
                "schedule": SCRUB_SECONDS,
                "options": {"queue": "hooks", "expires": SCRUB_SECONDS},
            },
        },
        "beat_max_loop_interval": TICK_SECONDS,
        "timezone": "UTC",
    }


@signals.setup_logging.connect
def leave_logging_to_django(**_: object) -> None:
    """Django has configured logging already; Celery keeps its hands off once somebody listens to this signal."""


app.add_defaults(configuration)
app.autodiscover_tasks()
