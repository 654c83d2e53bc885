#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""

import os
import sys


def main() -> None:
    """Run administrative tasks."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "failover_site.settings")
    from django.core.management import execute_from_command_line
    from django.db import IntegrityError

    from appliances import settings_lock

    try:
        execute_from_command_line(sys.argv)
    except IntegrityError as error:  # of a command of Django: createsuperuser, changepassword, loaddata
        if not settings_lock.is_refused(error):
            raise
        sys.exit(settings_lock.REFUSAL)


if __name__ == "__main__":
    main()
