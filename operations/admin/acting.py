"""What Atrium does by itself, on the operations page: each action with its switch, and what was done last."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from engagement import display
from operations import upkeep
from operations.admin.installation import for_operators
from operations.models import Action, Mode, Result, Switch

DONE_SHOWN: Final = 10
MODES: Final = {Mode.ON: "good", Mode.DRY_RUN: "warn", Mode.OFF: "bad"}
RESULTS: Final = {Result.DONE: "good", Result.FAILED: "bad", Result.DRY_RUN: "warn"}


@dataclass(frozen=True)
class Acting:
    """An action that is declared."""

    name: str
    title: str
    looks_at: str
    deed: str
    mode: str
    tag: SafeString
    by: str  # who set the switch, and when; nothing: nobody has
    at: str
    others: list[tuple[str, str]]  # modes that it may be set to


@dataclass(frozen=True)
class Done:
    at: str
    title: str
    seen: str
    done: str
    tag: SafeString
    outcome: str


@dataclass(frozen=True)
class Actions:
    declared: list[Acting]
    latest: list[Done]


def actions(now: datetime) -> Actions:
    switches = {switch.action: switch for switch in Switch.objects.all()}
    titles = {action.name: str(action.title) for action in upkeep.ACTIONS}
    latest = [_done(row, titles) for row in Action.objects.order_by("-at", "-pk")[:DONE_SHOWN]]
    return Actions(declared=[_acting(action, switches.get(action.name)) for action in upkeep.ACTIONS], latest=latest)


def _acting(action: upkeep.Action, switch: Switch | None) -> Acting:
    mode = Mode(switch.mode) if switch else Mode.ON
    return Acting(
        name=action.name,
        title=str(action.title),
        looks_at=str(action.looks_at),
        deed=str(action.deed),
        mode=mode,
        tag=display.tag(mode.label, MODES[mode]),
        by=switch.by if switch else "",
        at=display.moment(switch.at) if switch else "",
        others=[(str(other), str(other.label)) for other in Mode if other != mode],
    )


def _done(row: Action, titles: dict[str, str]) -> Done:
    return Done(
        at=display.moment(row.at, seconds=True),
        title=titles.get(row.action, row.action),
        seen=row.seen,
        done=row.done,
        tag=display.tag(Result(row.result).label, RESULTS.get(Result(row.result), "")),
        outcome=row.outcome,
    )


@require_POST
@for_operators
def switch(request: HttpRequest, name: str) -> HttpResponseBase:
    title = next((str(action.title) for action in upkeep.ACTIONS if action.name == name), None)
    if title is None or request.POST.get("mode") not in Mode.values:
        raise Http404
    mode = Mode(request.POST["mode"])
    upkeep.switch(name, mode, by=request.user.get_username())
    messages.success(request, _("%(title)s: %(mode)s.") % {"title": title, "mode": mode.label})
    return redirect("operations")
