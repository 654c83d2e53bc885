"""The project package: wiring only."""

from failover_site.celery import app as celery_app

__all__ = ["celery_app"]
