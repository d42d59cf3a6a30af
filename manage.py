#!/usr/bin/env python
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

from operations.wrong_settings import told

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engagement.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as wrong:
        sys.exit(told(str(wrong)) if sys.argv[1:2] == ["doctor"] else str(wrong))
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) is not None:  # the database answered, and something else is wrong
            raise
        sys.exit(f"The database cannot be reached ({str(error).splitlines()[0]}). Start it with `make run`, or set DATABASE_URL.")
