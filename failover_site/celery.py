"""The Celery application: queues, limits, and the tick.

The truth lies in the database; a message is only a hint. The tick derives again what is due, so a lost or doubled
message costs one tick.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "failover_site.settings")

from django.conf import settings  # noqa: E402  (needs the environment above)

TICK_SECONDS = 1.0

app = Celery("failover_site")
app.conf.update(
    broker_url=settings.REDIS_URL,
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_default_queue="hooks",
    task_create_missing_queues=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 43200,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    },
    task_queues={name: {"exchange": name, "routing_key": name} for name in ("role", "sync", "hooks", "mail")},
    beat_schedule_filename=str(settings.DATA_DIR / "beat-schedule"),
    beat_schedule={
        # A turn that was not taken within a tick is stale: the next one derives everything again.
        "turn": {"task": "sync.turn", "schedule": TICK_SECONDS, "options": {"queue": "role", "expires": 5 * TICK_SECONDS}},
    },
    beat_max_loop_interval=TICK_SECONDS,
    timezone="UTC",
)
app.autodiscover_tasks()
