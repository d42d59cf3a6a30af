"""Every text that the scripts of the campaigns' pages write."""

from django.utils.translation import gettext as _

from analytics.admin.conditions import failures
from analytics.wording import texts as figures_texts
from notifications.models import CampaignState, MessageState, Reason


def editor() -> dict[str, str]:
    return {
        **failures(),
        "draft_saved": _("Saved"),
        "draft_saving": _("Saving…"),
        "draft_unsaved": _("Not saved yet"),
        "when_now": _("It leaves as soon as you have seen who would get it, and said so."),
        "when_at": _("It leaves on {at}, by the clock of {zone}."),
        "when_at_shopper": _("It reaches each shopper at {at} on his own clock; whose clock is unknown, by that of {zone}."),
        "default_language": _("Everybody else"),
        "add_language": _("Add a language"),
        "drop_variant": _("Remove variant {name}"),
        "drop_variant_sure": _("Remove variant {name} with all it says, in every language? This cannot be undone."),
        "characters": _("{n} characters"),
        "preview_slow": _("The mail is being made…"),
        "nobody": _("a made-up shopper"),
        "remark_error": _("mend"),
        "remark_warning": _("look"),
        "test_sent": _("A test is on its way to {to}. It counts nowhere."),
    }


def review() -> dict[str, str]:
    return {
        **failures(),
        "match": _("Meet the rule"),
        "no_address": _("No e-mail address"),
        "no_consent": _("No consent"),
        "suppressed": _("May not be sent to: bounced, complained, unsubscribed"),
        "not_wished": _("Do not wish messages of this brand or topic"),
        "capped": _("Had enough messages in these days"),
        "holdout": _("Held out, to compare with"),
        "left": _("Get it"),
        "share": _("{share} of those who meet the rule"),
        "counting": _("Still counting…"),
        "send_one": _("Send to 1 person"),
        "send": _("Send to {n} people"),
        "plan_one": _("Schedule for 1 person, as of now"),
        "plan": _("Schedule for {n} people, as of now"),
        "send_none": _("Nobody would get it"),
        "none_says": _("Widen the audience, or look at what the bars leave out."),
        "sending": _("One moment…"),
        "pace": _("At {rate} a second the last one leaves at {time}."),
        "pace_free": _("The last one leaves at about {time}."),
        "quiet_none": _("No quiet hours stand in the way."),
        "quiet_held": _("{n} wait until their quiet hours are over, the last until {time}."),
        "quiet_dropped": _("{n} would fall into quiet hours and get nothing."),
        "no_sender": _("Name a sender first: in the campaign, or for all campaigns in the sending policy."),
        "unapproved": _("It has to be approved first."),
        "errors": _("Mend the remarks first."),
        "remark_error": _("mend"),
        "remark_warning": _("look"),
    }


def campaign() -> dict[str, str]:
    return {
        **figures_texts(),
        **failures(),
        **_report(),
        **{f"state_{one.value}": str(one.label) for one in MessageState},
        **{f"campaign_{one.value}": str(one.label) for one in CampaignState},
        **{f"reason_{one.value}": str(one.label) for one in Reason},
        "adds": _("{sum} of {audience} in the audience: everybody is accounted for."),
        "adds_planning": _("{sum} of {audience} are planned. Planning goes on."),
        "far": _("{done} of {all} are done; at {rate} a second the last one leaves at {time}."),
        "far_plain": _("{done} of {all} are done."),
        "not_begun": _("Nothing was sent yet."),
        "lost_now": _("No connection. What is shown may be old; the page tries again by itself."),
        "yes_cancel": _("Cancel the campaign"),
        "sure_cancel": _("Cancel the campaign?"),
        "says_cancel": _("{n} people who wait for it will never get it. What has left cannot be brought back. This cannot be undone."),
        "says_cancel_open": _("It will never be sent. This cannot be undone."),
    }


def _report() -> dict[str, str]:
    return {
        "variant": _("Variant"),
        "all": _("All"),
        "meant": _("Meant to reach"),
        "sent": _("Left"),
        "delivered": _("Delivered"),
        "opened_person": _("Opened: people"),
        "opened_machine": _("machines"),
        "opened_unknown": _("unknown"),
        "clicked_person": _("Clicked: people"),
        "clicked_machine": _("machines"),
        "clicked_unknown": _("unknown"),
        "unsubscribed": _("Unsubscribed"),
        "link": _("Link"),
        "clicks": _("Clicks"),
        "messages": _("In so many messages"),
        "machine_clicks": _("Clicks of machines"),
        "own_link": _("each shopper's own address"),
        "state": _("State"),
        "visits_say": _("Visits within {days} days: {said}"),
        "purchases_say": _("{told} of those told bought something. Purchases: {said}"),
        "not_over": _("The days in which visits count are over on {until}: until then this is provisional."),
        "no_outcome": _("Nothing can be said yet: nobody was told."),
        "reason": _("Reason"),
        "people": _("People"),
        "period": _("Time"),
        "no_links_at_all": _("There is no link in what it says."),
        "no_reasons": _("Nobody was left out."),
        "messaged": _("Told"),
        "held_out": _("Held out"),
        "arm": _("{visited} of {shoppers} came"),
        "credit": _("Of {claimed} visits, {shared} followed messages of other campaigns too: they count for each, and are not to be added up."),
        "opened": _("Opened"),
        "clicked": _("Clicked"),
    }
