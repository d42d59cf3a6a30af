"""manage.py with a mutant: python -m tests.faults.mutants MUTANT stream --number 0"""

import os
import sys

import django
from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engagement.settings")
django.setup()

from tests.faults import mutants  # noqa: E402 (the models it touches need the set-up)

mutants.apply(sys.argv[1])
execute_from_command_line(["manage.py", *sys.argv[2:]])
