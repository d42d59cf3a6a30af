"""What follows for marketing from how much of the mail bounces or is complained of: all of its pace, half of it, or none.

A person who mended the cause starts anew (`release`): what was sent before no longer counts.
"""

from datetime import datetime
from typing import Final

from django.db import connection
from django.utils.translation import gettext as _

from engagement import display
from notifications import governor
from notifications.rates import BOUNCES, MEASURES, Measure, Rate, percent, rate

HALF: Final = 0.5


def look(now: datetime) -> float:
    """Brake by the worse of the two rates, or release. Returns the share of its pace that marketing has."""
    share, reason = 1.0, ""
    for measure in MEASURES:
        found = rate(measure, now)
        its = 0.0 if found.value >= measure.stopped else HALF if found.value >= measure.slower else 1.0
        if its < share:
            share, reason = its, _said(measure, found)
    governor.brake(share, reason)
    return share


def _said(measure: Measure, found: Rate) -> str:
    said = {"rate": percent(found.value), "sent": display.number(found.sent)}
    if measure is BOUNCES:
        return _("%(rate)s of the latest %(sent)s mails bounced.") % said
    return _("%(rate)s of the latest %(sent)s mails were complained of.") % said


def release(now: datetime) -> None:
    """Somebody mended the cause: judge by what is sent from now on."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notifications_sendingaccount SET judged_from = %s WHERE id = 1", [now])
    look(now)
