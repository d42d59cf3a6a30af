from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from notifications.feedback import brake


class Command(BaseCommand):
    help = "Lets campaigns go at their whole pace again after the cause of bounces or complaints was mended. What was sent before no longer counts."

    def handle(self, *args: Any, **options: Any) -> None:
        brake.release(timezone.now())
        self.stdout.write("Campaigns go at their whole pace. They are judged by what is sent from now on.")
