from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from engagement import database, partitions


class Command(BaseCommand):
    help = "Brings the database up to date: migrations, and the partitions of the days to come. Run before each start; a second time it changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"] - 1)
        with database.connect(application_name="atrium prepare") as connection:
            partitions.ensure(connection)
        self.stdout.write("The database is up to date.")
