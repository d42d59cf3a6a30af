"""manage.py with a mutant: python -m tests.faults.mutants MUTANT stream --number 0"""

import sys

from django.core.management import execute_from_command_line

from tests.faults import mutants

mutants.apply(sys.argv[1])
execute_from_command_line(["manage.py", *sys.argv[2:]])
