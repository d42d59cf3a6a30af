"""Every address that the product has, by who may use it. A new one fails tests/test_attacks.py until somebody has said so here."""

from collections.abc import Iterator
from typing import Final

from django.urls import URLPattern
from django.urls.resolvers import URLResolver

from analytics.reports.catalogue import REPORTS

# Who may GET an address (what a role sees there is a matter of scope): anybody, readers (a secret key or a member), members.
ANYBODY: Final = {"admin/login/", "admin/logout/", "admin/jsi18n/", "healthz/live", "healthz/ready", "metrics", "api/v1/schema", "api/v1/docs", "^api/", ""}
REPORTED: Final = {f"api/v1/reports/{name}" for name in REPORTS}
READERS: Final = {"api/v1/stays", "api/v1/status", "api/v1/places", "api/v1/audiences", "api/v1/campaigns"} | REPORTED
TOLD_BY_OTHERS: Final = {"v1/feedback/ses"}  # notices that Amazon signed, by POST alone
WRITERS: Final = {"api/v1/purchases", "api/v1/shoppers", "api/v1/audiences/count"}  # a secret key or an owner (of shoppers a marketer too), by POST alone
ERASERS: Final = {"api/v1/shoppers/<path:shopper>"}  # a secret key or an owner, by DELETE; who may tell of shoppers looks, by GET
# What has a key of its own in its address: whose rows these are. Read by GET; who may market changes some of it by PUT and DELETE.
OF_A_CAMPAIGN: Final = (
    *("", "/funnel", "/messages", "/report", "/why", "/preview"),
    *("/send", "/pause", "/resume", "/cancel", "/approve", "/unschedule", "/release", "/check", "/test"),  # by POST alone
)
KEYED: Final = {f"api/v1/audiences/<str:key>{more}": "analytics.Audience" for more in ("", "/members", "/changes")} | {
    f"api/v1/campaigns/<str:key>{more}": "notifications.Campaign" for more in OF_A_CAMPAIGN
}
MAILED: Final = {f"m/{room}/<path:token>" for room in "ocup"}  # whoever has the signed address from a mail
MEMBERS: Final = {
    "admin/",
    "admin/(?P<url>.*)$",
    "admin/^(?P<app_label>engagement|auth|analytics|notifications|operations)/$",
    "admin/auth/user/<id>/password/",
    "admin/analytics/audience/",
    "admin/analytics/audience/<int:pk>/",
    "admin/analytics/audience/<int:pk>/edit/",
    "admin/analytics/audience/new/",
    "admin/analytics/regular/<int:pk>/decide/",
    "admin/analytics/trial/<int:pk>/",
    "admin/analytics/trial/<int:pk>/cancel/",
    "admin/analytics/trial/<int:pk>/progress",
    "admin/analytics/trial/<int:pk>/save/",
    "admin/autocomplete/",
    "admin/engagement/apikey/<int:pk>/revoke/",
    "admin/engagement/setaside/<int:pk>/replay/",
    "admin/engagement/shopper/<int:pk>/erase/",
    "admin/engagement/shopperimport/<int:pk>/again/",
    "admin/engagement/shopperimport/<int:pk>/discard/",
    "admin/engagement/shopperimport/<int:pk>/progress",
    "admin/engagement/shopperimport/<int:pk>/run/",
    "admin/engagement/shopper/<int:pk>/leave-out/",
    "admin/engagement/zone/<int:pk>/try/",
    "admin/figures/",
    "admin/figures/week",
    "admin/live/",
    "admin/news/",
    "admin/live/<int:pk>/",
    "admin/live/<int:pk>/now",
    "admin/notifications/campaign/",
    "admin/notifications/campaign/<int:pk>/",
    "admin/notifications/campaign/<int:pk>/edit/",
    "admin/notifications/campaign/<int:pk>/messages/",
    "admin/notifications/campaign/<int:pk>/messages/release/",
    "admin/notifications/campaign/<int:pk>/review/",
    "admin/notifications/campaign/<int:pk>/why/",
    "admin/notifications/campaign/new/",
    "admin/notifications/mailbox/",
    "admin/notifications/mailbox/<str:name>/",
    "admin/notifications/policy/",
    "admin/notifications/suppression/<int:pk>/lift/",
    "admin/notifications/suppression/export/",
    "admin/notifications/policy/topics/",
    "admin/operations/",
    "admin/operations/action/<str:name>/switch/",
    "admin/operations/alarm/<str:name>/acknowledge/",
    "admin/operations/alarm/<str:name>/silence/",
    "admin/operations/alarm/<str:name>/unsilence/",
    "admin/operations/now",
    "admin/operations/redrive/<int:pk>/stop/",
    "admin/operations/redrive/begin/",
    "admin/organisation/",
    "admin/outcomes/",
    "admin/password_change/",
    "admin/password_change/done/",
    "admin/r/<path:content_type_id>/<path:object_id>/",
    "admin/search/",
}
MODELS: Final = (
    *("analytics.Recut", "analytics.Regular", "engagement.Erasure", "analytics.Stay", "analytics.Transition", "auth.User"),
    *("engagement.ApiKey", "engagement.Beacon", "engagement.Brand", "engagement.Device", "engagement.Organisation", "engagement.SetAside"),
    *("engagement.ShopperImport", "engagement.ShopperList"),
    *("engagement.Shopper", "engagement.Venue", "engagement.Zone", "engagement.ZoneVersion"),
    *("notifications.Suppression", "operations.Action", "operations.Alarm", "operations.AlarmEvent", "operations.Backup"),
    *("operations.Post", "operations.Redrive"),
)
OF_EACH_MODEL: Final = ("", "add/", "<path:object_id>/", "<path:object_id>/change/", "<path:object_id>/delete/", "<path:object_id>/history/")


def addresses(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        address = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield address
        else:
            yield from addresses(entry, address)


def inventory() -> set[str]:
    return (
        ANYBODY
        | MAILED
        | READERS
        | WRITERS
        | TOLD_BY_OTHERS
        | ERASERS
        | KEYED.keys()
        | MEMBERS
        | {f"admin/{label.lower().replace('.', '/')}/{end}" for label in MODELS for end in OF_EACH_MODEL}
    )
