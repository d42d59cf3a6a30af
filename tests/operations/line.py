"""Posts as the evaluation leaves them, for tests of how they are told."""

from dataclasses import asdict
from datetime import datetime, timedelta

from django.utils import timezone

from operations.blocks import Notice
from operations.models import Alarm, Incident, Kind, Post


def fires(name: str, *, at: datetime | None = None, body: str = "") -> Incident:
    """The alarm fires, and somebody is to be told."""
    at = at or timezone.now()
    alarm, _ = Alarm.objects.get_or_create(name=name, defaults={"since": at, "evaluated_at": at})
    incident = Incident.objects.create(alarm=alarm, began_at=at)
    leave(
        Kind.FIRED,
        incident,
        at,
        Notice(mark="🔴", title=f"{name} title", body=body or f"{name} is wrong.", remedy="Mend it.", footer="Critical", level="error"),
    )
    return incident


def is_over(incident: Incident, *, at: datetime | None = None) -> Post:
    at = at or timezone.now()
    Incident.objects.filter(pk=incident.pk).update(over_at=at)
    name = incident.alarm_id
    return leave(Kind.OVER, incident, at, Notice(mark="🟢", title=f"Over: {name} title", body=f"{name} is right again.", remedy="", footer=f"{at:%H:%M} UTC"))


def fires_again(incident: Incident, *, at: datetime | None = None) -> Post:
    at = at or timezone.now()
    Incident.objects.filter(pk=incident.pk).update(over_at=None, firings=Incident.objects.get(pk=incident.pk).firings + 1)
    return changes(incident, f"{incident.alarm_id} fires again.", at=at, mark="🔴")


def changes(incident: Incident, body: str, *, at: datetime | None = None, mark: str = "🔵") -> Post:
    title = f"{incident.alarm_id} title"
    return leave(Kind.CHANGED, incident, at or timezone.now(), Notice(mark=mark, title=title, body=body, remedy="", footer="", level="warning"))


def leave(kind: str, incident: Incident | None, at: datetime, notice: Notice) -> Post:
    return Post.objects.create(kind=kind, incident=incident, notice=asdict(notice), created_at=at, not_before=at - timedelta(seconds=1))


def left() -> list[tuple[str, str, str]]:
    """What became of the posts: alarm, kind, how it was told."""
    return list(Post.objects.order_by("pk").values_list("incident__alarm", "kind", "delivery"))
