"""The device door with the mutant that MUTANT names, as an ASGI application."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engagement.settings")
django.setup()

from engagement.door.app import application  # noqa: E402
from tests.faults import mutants  # noqa: E402

mutants.apply(os.environ["MUTANT"])
__all__ = ["application"]
