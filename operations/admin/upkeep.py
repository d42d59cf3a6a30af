"""What was told, what Atrium did by itself, what was sent on again, and what was saved: for whoever runs the installation."""

from typing import Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from engagement import display
from operations.admin.acting import RESULTS
from operations.admin.installation import InstallationAdmin
from operations.admin.overview import size
from operations.models import Action, Backup, Delivery, Post, Redrive, Result

TOLD: Final = {Delivery.SENT: "good", Delivery.MAILED: "warn", Delivery.LOGGED: "warn", Delivery.REFUSED: "bad"}
REDRIVES: Final = {Redrive.State.FINISHED: "good", Redrive.State.STOPPED: "bad"}


@admin.register(Post)
class PostAdmin(InstallationAdmin):
    """What operators were told, word for word. An organisation's news are its own affair."""

    when_empty = gettext_lazy("Nothing was told in the last 90 days, and nothing waits to be told.")
    list_display = ("moment", "kind", "title", "shown_delivery", "told", "attempts", "problem")
    ordering = ("-pk",)
    fields = readonly_fields = ("moment", "kind", "title", "body", "remedy", "shown_delivery", "told", "attempts", "next_try", "problem")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Post]:
        return super().get_queryset(request).filter(organisation=None)  # type: ignore[no-any-return]

    @admin.display(description=gettext_lazy("at"))
    def moment(self, post: Post) -> str:
        return display.moment(post.created_at, seconds=True)

    @admin.display(description=gettext_lazy("title"))
    def title(self, post: Post) -> str:
        return _part(post, "title")

    @admin.display(description=gettext_lazy("said"))
    def body(self, post: Post) -> str:
        return _part(post, "body")

    @admin.display(description=gettext_lazy("what to do"))
    def remedy(self, post: Post) -> str:
        return _part(post, "remedy")

    @admin.display(description=gettext_lazy("became"))
    def shown_delivery(self, post: Post) -> SafeString:
        return display.tag(Delivery(post.delivery).label, TOLD.get(Delivery(post.delivery), ""))

    @admin.display(description=gettext_lazy("told"))
    def told(self, post: Post) -> str:
        return display.moment(post.told_at or post.mailed_at)

    @admin.display(description=gettext_lazy("next try"))
    def next_try(self, post: Post) -> str:
        return display.moment(post.not_before) if post.delivery == Delivery.WAITING else display.NOTHING


def _part(post: Post, name: str) -> str:
    return str(post.notice.get(name) or display.NOTHING)


@admin.register(Action)
class ActionAdmin(InstallationAdmin):
    when_empty = gettext_lazy("Atrium has not had to do anything by itself yet.")
    list_display = ("moment", "action", "seen", "done", "shown_result", "outcome")
    ordering = ("-at", "-pk")
    fields = readonly_fields = ("moment", "action", "seen", "done", "shown_result", "outcome", "ended")

    @admin.display(description=gettext_lazy("at"))
    def moment(self, action: Action) -> str:
        return display.moment(action.at, seconds=True)

    @admin.display(description=gettext_lazy("result"))
    def shown_result(self, action: Action) -> SafeString:
        return display.tag(Result(action.result).label, RESULTS.get(Result(action.result), ""))

    @admin.display(description=gettext_lazy("ended"))
    def ended(self, action: Action) -> str:
        return display.moment(action.ended_at, seconds=True)


@admin.register(Backup)
class BackupAdmin(InstallationAdmin):
    when_empty = gettext_lazy("There is no backup that this database knows of. manage.py backup makes one.")
    list_display = ("name", "made", "shown_size", "verified", "removed", "problem")
    ordering = ("-made_at",)
    fields = readonly_fields = ("name", "made", "shown_size", "verified", "removed", "problem")

    @admin.display(description=gettext_lazy("made"))
    def made(self, backup: Backup) -> str:
        return display.moment(backup.made_at)

    @admin.display(description=gettext_lazy("size"))
    def shown_size(self, backup: Backup) -> str:
        return size(backup.bytes)

    @admin.display(description=gettext_lazy("restored to try it"))
    def verified(self, backup: Backup) -> str:
        return display.moment(backup.verified_at)

    @admin.display(description=gettext_lazy("removed"))
    def removed(self, backup: Backup) -> str:
        return display.moment(backup.removed_at)


@admin.register(Redrive)
class RedriveAdmin(InstallationAdmin):
    when_empty = gettext_lazy("Nothing that was parked has been sent on again. The operations page offers it where something is parked.")
    list_display = ("began", "organisation", "kind", "cause_text", "shown_state", "by", "ended")
    list_select_related = ("organisation",)
    ordering = ("-pk",)
    fields = readonly_fields = ("began", "organisation", "kind", "cause_text", "rate", "shown_state", "why", "by", "ended")

    @admin.display(description=gettext_lazy("began"))
    def began(self, redrive: Redrive) -> str:
        return display.moment(redrive.began_at)

    @admin.display(description=gettext_lazy("state"))
    def shown_state(self, redrive: Redrive) -> SafeString:
        return display.tag(Redrive.State(redrive.state).label, REDRIVES.get(Redrive.State(redrive.state), "warn"))

    @admin.display(description=gettext_lazy("ended"))
    def ended(self, redrive: Redrive) -> str:
        return display.moment(redrive.ended_at)
