"""The sidebar of the web admin."""

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from engagement import display, site, tenancy
from engagement.models import Organisation, SetAside
from engagement.tenancy import Action

# What everybody who reads figures sees, a brand's member nothing else.
FIGURES: Final[tuple[tuple[Any, str, str], ...]] = ((_("Figures"), "monitoring", "figures"),)
PEOPLE: Final = (
    (_("Shoppers"), "group", "admin:engagement_shopper_changelist"),
    (_("Lists"), "list_alt", "admin:engagement_shopperlist_changelist"),
    (_("Devices"), "smartphone", "admin:engagement_device_changelist"),
    (_("Stays"), "schedule", "admin:analytics_stay_changelist"),
    (_("Transitions"), "swap_horiz", "admin:analytics_transition_changelist"),
    (_("Staff and residents"), "badge", "admin:analytics_regular_changelist"),
    (_("Erasures"), "person_remove", "admin:engagement_erasure_changelist"),
)
TOLD: Final = ((_("Imports"), "upload_file", "admin:engagement_shopperimport_changelist"),)  # for who may tell of shoppers
MESSAGES: Final = (
    (_("Campaigns"), "campaign", "campaigns"),
    (_("Audiences"), "groups", "audiences"),
    (_("Sending policy"), "rule", "sending_policy"),
)
SUPPRESSIONS: Final = ((_("Suppressions"), "block", "admin:notifications_suppression_changelist"),)  # who speaks to shoppers sees addresses
NEWS: Final = ((_("Slack channel"), "forum", "news_channel"),)  # an owner sets its address, which is a key
MAILBOX: Final = ((_("Mailbox"), "inbox", "mailbox"),)  # where no mail leaves
PLACES: Final = (
    (_("Venues"), "apartment", "admin:engagement_venue_changelist"),
    (_("Zones"), "dashboard", "admin:engagement_zone_changelist"),
    (_("Beacons"), "bluetooth", "admin:engagement_beacon_changelist"),
    (_("Brands"), "storefront", "admin:engagement_brand_changelist"),
    (_("Changes"), "history", "admin:engagement_zoneversion_changelist"),
    (_("Re-cuts"), "cached", "admin:analytics_recut_changelist"),
)
INTAKE: Final = (
    (_("API keys"), "key", "admin:engagement_apikey_changelist"),
    (_("Outcomes"), "fact_check", "outcomes"),
)
SWITCH: Final = ((_("Choose an organisation"), "domain", "admin:choose_organisation"),)
OPERATION: Final = (
    (_("Operations"), "monitor_heart", "operations"),
    (_("Organisations"), "domain_add", "admin:engagement_organisation_changelist"),
    (_("Users"), "manage_accounts", "admin:auth_user_changelist"),
    (_("Alarms"), "notifications", "admin:operations_alarm_changelist"),
    (_("Alarm history"), "history", "admin:operations_alarmevent_changelist"),
    (_("What was told"), "forum", "admin:operations_post_changelist"),
    (_("Automatic actions"), "auto_mode", "admin:operations_action_changelist"),
    (_("Redrives"), "redo", "admin:operations_redrive_changelist"),
    (_("Backups"), "backup", "admin:operations_backup_changelist"),
)
BADGE_UP_TO: Final = 99


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    first, *lists = _items(request, OPERATION)
    first["active"] = request.path == first["link"]  # the addresses of the lists begin with it
    operation: dict[str, Any] = {"title": _("Operation"), "separator": True, "items": [first, *lists]}
    found = site.found_seat(request)
    if found is None:
        return [operation] if request.user.is_superuser else []
    listed: list[dict[str, Any]] = _of_the_organisation(request, found.organisation) if found.may(Action.LOOK) else [{"items": _items(request, FIGURES)}]
    if tenancy.organisations_of(request.user).count() > 1:
        listed.append({"separator": True, "items": _items(request, SWITCH)})
    return [*listed, operation] if request.user.is_superuser else listed


def _of_the_organisation(request: HttpRequest, organisation: Organisation) -> list[dict[str, Any]]:
    return [
        {"items": [*_items(request, FIGURES), _item(request, _("Live"), "sensors", "live")]},
        {"title": _("Messages"), "separator": True, "items": _items(request, _messages(request))},
        {
            "title": _("People"),
            "separator": True,
            "items": [*_items(request, PEOPLE), *_items(request, TOLD if site.may(request, Action.MANAGE_SHOPPERS) else ())],
        },
        {"title": _("Places"), "separator": True, "items": _items(request, PLACES)},
        {"title": _("Intake"), "separator": True, "items": [*_items(request, INTAKE), _set_aside(request, organisation)]},
    ]


def _messages(request: HttpRequest) -> tuple[tuple[Any, str, str], ...]:
    listed = (*MESSAGES, *(SUPPRESSIONS if site.may(request, Action.MARKET) else ()), *(() if settings.MAIL_SERVER.scheme else MAILBOX))
    return (*listed, *(NEWS if site.may(request, Action.MANAGE_KEYS) else ()))


def _items(request: HttpRequest, entries: tuple[tuple[Any, str, str], ...]) -> list[dict[str, Any]]:
    return [_item(request, *entry) for entry in entries]


def _item(request: HttpRequest, title: Any, icon: str, name: str) -> dict[str, Any]:
    link = reverse(name)
    return {"title": title, "icon": icon, "link": link, "active": request.path.startswith(link)}


def _set_aside(request: HttpRequest, organisation: Organisation) -> dict[str, Any]:
    """With the number of rows that wait for a person, counted to a hundred."""
    item = _item(request, _("Set aside"), "inventory_2", "admin:engagement_setaside_changelist")
    count = SetAside.objects.filter(organisation=organisation, replayed_at=None)[: BADGE_UP_TO + 1].count()
    if not count:
        return item
    return {**item, "badge": display.number(count) if count <= BADGE_UP_TO else f"{BADGE_UP_TO}+", "badge_variant": "warning"}
