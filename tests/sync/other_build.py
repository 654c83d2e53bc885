"""The real settings of a later product version."""

from failover_site.settings import *  # noqa: F403

PRODUCT_VERSION = "1.0.1"
