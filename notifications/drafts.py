"""Drafts of campaigns: written whole, as often as somebody likes, and given back in the form in which they are told.

A campaign is known by its key. Told again it is replaced for as long as it is a draft; each change of what is said, to whom or when raises its
revision, so that an approval of what it was before no longer holds.
"""

from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from analytics.models import Audience
from engagement.models import Brand, Organisation, Venue, Zone
from notifications import draft_form
from notifications.draft_form import Draft, Fault, Faults, Json, Words, read
from notifications.models import Campaign, CampaignState, Content, Topic, Variant
from notifications.rendering import check

__all__ = ["Fault", "Faults", "NotADraft", "clock_of", "save", "told"]


class NotADraft(Exception):
    """The campaign is past being changed; `state` says where it is."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


@dataclass(frozen=True, slots=True)
class _Found:
    """What a draft names, as rows."""

    brand: Brand | None
    topic: Topic | None
    audience: Audience
    time_zone: str


def save(*, organisation: Organisation, told: Any, by: str) -> tuple[Campaign, bool]:
    """The campaign of this key as it is told, and whether it is new. Raises Faults and NotADraft."""
    draft = read(told)
    with transaction.atomic():
        found = _find(organisation, draft)
        fields = _fields(draft, found)
        campaign, made = Campaign.objects.select_for_update().get_or_create(
            organisation=organisation, key=draft.key, defaults={**fields, "created_by": by[:150], "changed_by": by[:150]}
        )
        if campaign.state != CampaignState.DRAFT:
            raise NotADraft(campaign.state)
        changed = {name for name, value in fields.items() if getattr(campaign, name) != value}
        if not made and (changed or _said(campaign) != draft.variants):
            for name in changed:
                setattr(campaign, name, fields[name])
            campaign.revision, campaign.changed_by = campaign.revision + 1, by[:150]
            campaign.save(update_fields=[*changed, "revision", "changed_by"])
        if made or _said(campaign) != draft.variants:
            _say(campaign, draft)
    return campaign, made


def told(campaign: Campaign) -> Json:
    """As it would be told to make it again."""
    cap = {"messages": campaign.cap_messages, "days": campaign.cap_days} if campaign.cap_messages else None
    return {
        "key": campaign.key,
        "name": campaign.name,
        "brand": campaign.brand.key if campaign.brand else None,
        "topic": campaign.topic.key if campaign.topic else None,
        "audience": campaign.audience.key,
        "channel": campaign.channel,
        "purpose": campaign.purpose,
        "from": campaign.sender,
        "variants": [_variant_told(variant) for variant in _variants(campaign)],
        "holdout": float(campaign.holdout),
        "send_at": campaign.send_at.astimezone(UTC).isoformat().replace("+00:00", "Z") if campaign.send_at else None,
        "quiet_hours": campaign.quiet_hours,
        "frequency_cap": cap,
        "in_shopper_time": campaign.in_shopper_time,
        "recurrence": campaign.recurrence,
        "time_zone": campaign.time_zone,
        "outcome_days": campaign.outcome_days,
    }


def clock_of(organisation: Organisation, brand: Brand | None) -> str:
    """The shop's clock: that of the brand's first store, else of the organisation's first venue."""
    stores = Zone.objects.filter(organisation=organisation, brand=brand).order_by("pk") if brand else Zone.objects.none()
    zone: str | None = stores.values_list("venue__time_zone", flat=True).first()
    venue = Venue.objects.filter(organisation=organisation).order_by("pk").values_list("time_zone", flat=True)
    return zone or venue.first() or "UTC"


def _find(organisation: Organisation, draft: Draft) -> _Found:
    """Raises Faults: what is named and does not exist, and what cannot be made into a mail."""
    faults: list[Fault] = []
    missing = _("There is none with this key.")
    brand = Brand.objects.filter(organisation=organisation, key=draft.brand).first() if draft.brand else None
    topic = Topic.objects.filter(organisation=organisation, key=draft.topic).first() if draft.topic else None
    audience = Audience.objects.filter(organisation=organisation, key=draft.audience).first()
    for place, wanted, row in (("brand", draft.brand, brand), ("topic", draft.topic, topic), ("audience", draft.audience, audience)):
        if wanted and row is None:
            faults.append(Fault(place, "unknown", missing))
    faults += _content_faults(draft)
    if faults or audience is None:
        raise Faults(faults)
    return _Found(brand, topic, audience, draft.time_zone or clock_of(organisation, brand))


def _content_faults(draft: Draft) -> list[Fault]:
    found = []
    for number, variant in enumerate(draft.variants):
        for place, words in enumerate(variant.words, -1):
            where = f"variants.{number}" if place < 0 else f"variants.{number}.languages.{place}"
            remarks = [remark for remark in check(_content(words)) if remark.level == "error"]
            found += [Fault(f"{where}.{words.kind if remark.place == 'body' else remark.place}", "invalid", remark.detail) for remark in remarks]
    return found


def _fields(draft: Draft, found: _Found) -> dict[str, Any]:
    messages, days = draft.cap or (None, None)
    return {
        "name": draft.name,
        "brand": found.brand,
        "topic": found.topic,
        "audience": found.audience,
        "channel": draft.channel,
        "purpose": draft.purpose,
        "sender": draft.sender,
        "holdout": draft.holdout,
        "send_at": draft.send_at,
        "quiet_hours": draft.quiet_hours,
        "cap_messages": messages,
        "cap_days": days,
        "in_shopper_time": draft.in_shopper_time,
        "recurrence": draft.recurrence,
        "time_zone": found.time_zone,
        "outcome_days": draft.outcome_days,
    }


def _variants(campaign: Campaign) -> list[Variant]:
    return list(campaign.variants.prefetch_related("contents").order_by("pk"))


def _contents(variant: Variant) -> list[Content]:
    """The one for everybody first."""
    return sorted(variant.contents.all(), key=lambda content: (content.language != "", content.pk))


def _said(campaign: Campaign) -> tuple[draft_form.Variant, ...]:
    """The variants as they are told, to be compared."""
    return tuple(draft_form.Variant(variant.name, variant.weight, tuple(map(_words, _contents(variant)))) for variant in _variants(campaign))


def _words(content: Content) -> Words:
    return Words(content.language, content.subject, content.preheader, "mjml" if content.kind == "mjml" else "html", content.body, content.text)


def _say(campaign: Campaign, draft: Draft) -> None:
    """Replace what is said. A draft has no messages, and Django would look through all of them for the variants that go."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM notifications_content WHERE variant_id IN (SELECT id FROM notifications_variant WHERE campaign_id = %s)", [campaign.pk])
        cursor.execute("DELETE FROM notifications_variant WHERE campaign_id = %s", [campaign.pk])
    for variant in draft.variants:
        row = Variant.objects.create(campaign=campaign, name=variant.name, weight=variant.weight)
        Content.objects.bulk_create(_content(words, row) for words in variant.words)


def _content(words: Words, variant: Variant | None = None) -> Content:
    more = {} if variant is None else {"variant": variant}
    return Content(language=words.language, subject=words.subject, preheader=words.preheader, kind=words.kind, body=words.body, text=words.text, **more)


def _variant_told(variant: Variant) -> Json:
    first, *others = _contents(variant)
    languages = [{"language": content.language, **_words_told(content)} for content in others]
    return {"name": variant.name, "weight": variant.weight, **_words_told(first), **({"languages": languages} if languages else {})}


def _words_told(content: Content) -> Json:
    return {"subject": content.subject, "preheader": content.preheader, content.kind: content.body, "text": content.text or None}
