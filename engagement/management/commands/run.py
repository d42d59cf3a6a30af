import sys
from typing import Any

from django.core.management.base import BaseCommand

from engagement import supervisor


class Command(BaseCommand):
    help = "Runs everything: the embedded database (unless DATABASE_URL is set), the web server, the stream, the worker and the scheduler, until Ctrl-C."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(supervisor.run(supervisor.PROCESSES))
