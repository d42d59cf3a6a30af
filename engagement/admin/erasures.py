"""Erasures of shoppers: what waits, and when and how much it was."""

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from engagement import display
from engagement.models import Erasure
from engagement.scoped import MachineMadeAdmin


@admin.register(Erasure)
class ErasureAdmin(MachineMadeAdmin):
    """Erasures of shoppers: what waits, and when and how much it was. Never who."""

    when_empty = gettext_lazy("Nobody was erased. A shopper is erased on his own page.")
    list_display = ("asked", "requested_by", "state", "stays", "events", "devices", "purchases")
    fields = readonly_fields = list_display
    ordering = ("-pk",)

    @admin.display(description=gettext_lazy("asked for"))
    def asked(self, erasure: Erasure) -> str:
        return display.moment(erasure.requested_at)

    @admin.display(description=gettext_lazy("state"))
    def state(self, erasure: Erasure) -> str:
        return display.moment(erasure.finished_at) if erasure.finished_at else display.tag(_("waiting"), "warn")
