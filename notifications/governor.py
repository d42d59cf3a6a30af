"""The pace of the one account that everything is sent through, shared by all senders of all processes: one row, one clock.

    take(lane, n)  ->  instants at which n mails may leave, on this process's monotonic clock

The row says when the next mail may leave (`free_at`). Whoever asks moves it on by as many steps of 1/rate as he is given, in one UPDATE by the
database's clock (the virtual scheduling form of GCRA, ITU-T I.371), so the instants of all senders together are evenly spaced. A mail leaves at its
instant, or at most LATE_S after it: later ones are given up, and ask again. So in any second there are the instants of that second and of the LATE_S
before it, at most rate * MARGIN * (1 + LATE_S); MARGIN keeps that below the rate.

Marketing is given no more than AHEAD_S of instants beforehand. Transactional mail takes the next instant, so it waits no longer than that.
"""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection

from notifications.channels import email
from notifications.channels.wire import NotTold, Timed, Wait
from notifications.mail import Mail

logger = logging.getLogger("atrium.governor")

MARKETING: Final = "marketing"
TRANSACTIONAL: Final = "transactional"
MARGIN: Final = 0.984  # 1 / (1 + LATE_S), less a millisecond for what the processes' ideas of the database's clock differ
AHEAD_S: Final = 0.04
QUOTA_KEPT: Final = 0.05  # share of the day's quota that is kept for transactional mail
SLOWER: Final = 0.5  # of the pace, each time that the provider says we are too fast
SLOWEST: Final = 0.02
FASTER_S: Final = 300.0  # until the whole pace is back
BACK_OFF_S: Final = 1.0  # refusals within so long are one
UNKNOWN_RATE: Final = 500.0  # a second, of which a share is taken where no rate is known and the provider says that we are too fast
TOGETHER: Final = 16
STOPPED, QUOTA, PACE, NOT_HOME = "stopped", "quota", "pace", "not_home"


@dataclass(frozen=True, slots=True)
class Grant:
    """`instants` of time.monotonic(), rising; fewer than asked for: `why`, and when asking again makes sense."""

    instants: tuple[float, ...] = ()
    again_at: float = 0.0
    why: str = ""
    paced: bool = True  # False: nothing limits the rate, so an instant is only the first at which a mail may leave, and it is never too late

    def of(self, mail: Mail, instant: float) -> Mail | Timed:
        """The mail as a feed has it."""
        return Timed(mail, instant) if self.paced else mail


@dataclass(frozen=True, slots=True)
class Pace:
    """Messages a second, and how many more may leave today. None: no limit."""

    rate: float | None
    left_today: float | None


# The pace comes back by and by.
_BACK: Final = f"extract(epoch FROM clock_timestamp() - backed_off_at) / {FASTER_S}"
_LIMITS: Final = f"""SELECT rate, quota, sent, brake, home, least(1, pace + coalesce({_BACK}, 1))::float8
    FROM notifications_sendingaccount WHERE id = 1"""
# Nobody waits for the disk: what a crash of the database forgets is less than the second that it is away. In a transaction of the caller's it is his affair.
_TAKE: Final = """WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now, CASE WHEN %(alone)s THEN set_config('synchronous_commit', 'off', true) END),
    before AS (SELECT a.id, CASE WHEN a.quota < 0 THEN %(most)s ELSE floor(a.quota * %(share)s - a.sent) END AS left_today,
                      greatest(coalesce(a.free_at, c.now), c.now) AS free, c.now
               FROM notifications_sendingaccount a, clock c WHERE a.id = 1 FOR UPDATE OF a),
    given AS (SELECT b.*, greatest(0, least(%(most)s, b.left_today,
                                            floor((%(ahead)s - extract(epoch FROM b.free - b.now)) / %(step)s) + 1))::int AS n FROM before b)
    UPDATE notifications_sendingaccount a SET free_at = g.free + g.n * %(step)s * interval '1 second', sent = a.sent + g.n
    FROM given g WHERE a.id = g.id RETURNING g.n, extract(epoch FROM g.free)::float8, extract(epoch FROM g.now)::float8"""
# Where nothing but the day's quota limits. It is read under the row's lock, as above: else many senders would spend the same rest of it.
_SPEND: Final = """WITH given AS (SELECT id, greatest(0, least(%(most)s, floor(quota * %(share)s - sent)))::int AS n
        FROM notifications_sendingaccount WHERE id = 1 FOR UPDATE)
    UPDATE notifications_sendingaccount a SET sent = a.sent + g.n FROM given g WHERE a.id = g.id RETURNING g.n"""
_BEGIN: Final = """INSERT INTO notifications_sendingaccount (id, rate, quota, sent, pace, brake, brake_reason, home)
    VALUES (1, 1, -1, 0, 1, 1, '', '') ON CONFLICT DO NOTHING"""


def take(lane: str, n: int) -> Grant:
    """Instants for up to `n` mails. Raises nothing of its own; where nothing limits, all at once."""
    rate, left, why = _allowed(lane)
    now = time.monotonic()
    if why:
        return Grant(again_at=now + (60.0 if why != STOPPED else 10.0), why=why)
    share = 1 - QUOTA_KEPT if lane == MARKETING else 1.0
    if rate is None:
        return Grant((now,) * (n if left is None else _row(_SPEND, {"most": n, "share": share})[0]), paced=False)
    step = 1 / rate
    # What is asked for on the wire's behalf may wait; a transactional mail's instant is however far away the others' last one is.
    ahead = AHEAD_S if lane == MARKETING else max(AHEAD_S, n * step) + 1.0
    given, free, read_at = _row(_TAKE, {"most": n, "share": share, "step": step, "ahead": ahead, "alone": not connection.in_atomic_block})
    first = free + _clock.behind(read_at)
    instants = tuple(first + place * step for place in range(given))
    return Grant(instants, max(first + given * step - ahead, time.monotonic()), "" if given == n else PACE)


class _Clock:
    """How far the database's clock is from this process's. An answer that took long would move instants into those of the next one: so the
    quickest answer is believed, and every other one a little, for clocks drift."""

    DRIFT_S: Final = 0.000_02

    def __init__(self) -> None:
        self._behind: float | None = None

    def behind(self, read_at: float) -> float:
        seen = time.monotonic() - read_at
        known = self._behind
        self._behind = seen if known is None or abs(seen - known) > 1 else min(seen, known + self.DRIFT_S)
        return self._behind


_clock: Final = _Clock()


def pace(lane: str) -> Pace:
    """How fast the lane may go now, and how far today."""
    rate, left, why = _allowed(lane)
    return Pace(0.0, left) if why in (STOPPED, QUOTA) else Pace(rate, left)


def _allowed(lane: str) -> tuple[float | None, float | None, str]:
    """Rate (None: no limit), what is left today (None: no limit), and why nothing may leave."""
    rate, quota, sent, brake, home, share = _account()
    if home and home != home_of_this():
        return None, None, NOT_HOME
    brake = brake if lane == MARKETING else 1.0
    if brake <= 0:
        return None, None, STOPPED
    left = None if quota < 0 else max(0.0, quota * (1 - QUOTA_KEPT if lane == MARKETING else 1) - sent)
    if left is not None and left < 1:
        return None, 0.0, QUOTA
    own = float(settings.SEND_RATE) or None
    limits = [limit for limit in (own, rate if _live() else None) if limit is not None]
    if not limits and share * brake < 1:
        limits = [UNKNOWN_RATE]  # somewhere it has to begin to slow down
    return (min(limits) * share * brake * MARGIN if limits else None), left, ""


def _live() -> bool:
    """Whether the row's rate and quota are a provider's, who was asked for them (notifications.tasks.ask_account)."""
    return settings.MAIL_SERVER.scheme == "ses"


def _account() -> tuple[Any, ...]:
    row = _row_or_none(_LIMITS)
    if row is None:
        _execute(_BEGIN)
        row = _row(_LIMITS)
    return row


def paced(lane: str, mails: Iterable[Mail]) -> "Paced":
    """A feed for a wire: each mail at its instant, in order."""
    return Paced(lane, mails)


class Paced:
    """Ends early where the lane may not go on; `why` says so."""

    def __init__(self, lane: str, mails: Iterable[Mail]) -> None:
        self._lane, self._mails, self.why = lane, iter(mails), ""

    def __iter__(self) -> Iterator[Mail | Timed | Wait]:
        ahead: deque[Mail] = deque()
        while True:
            while len(ahead) < TOGETHER and (mail := next(self._mails, None)) is not None:
                ahead.append(mail)
            if not ahead:
                return
            grant = take(self._lane, len(ahead))
            for instant in grant.instants:
                yield grant.of(ahead.popleft(), instant)
            if not grant.instants:
                if grant.why in (STOPPED, QUOTA, NOT_HOME):
                    self.why = grant.why
                    return
                yield Wait(grant.again_at)


def pause_for_throttle() -> None:
    """The provider said that we are too fast: half the pace, coming back over some minutes. Many who hear it in one second say it once."""
    _account()
    _execute(
        f"""UPDATE notifications_sendingaccount SET backed_off_at = clock_timestamp(),
                   free_at = greatest(free_at, clock_timestamp() + interval '{BACK_OFF_S} s'),
                   pace = greatest({SLOWEST}, {SLOWER} * least(1, pace + coalesce({_BACK}, 1)))
             WHERE id = 1 AND (backed_off_at IS NULL OR backed_off_at < clock_timestamp() - interval '{BACK_OFF_S} s')"""
    )


def brake(share: float, reason: str) -> None:
    """What share of the pace marketing may use: 1, less, or 0. Transactional mail is never braked."""
    _account()
    _execute(
        "UPDATE notifications_sendingaccount SET brake = %s, brake_reason = %s WHERE id = 1 AND (brake, brake_reason) IS DISTINCT FROM (%s::float8, %s)",
        [share, reason[:100], share, reason[:100]],
    )


def told(*, rate: float, quota: float, sent: float) -> None:
    """What the provider says of the account: messages a second, in 24 hours (below zero: no limit), and how many of them are used."""
    _account()
    _execute(
        "UPDATE notifications_sendingaccount SET rate = %s, quota = %s, sent = %s, asked_at = clock_timestamp() WHERE id = 1", [max(rate, 0.01), quota, sent]
    )


def refresh() -> None:
    """Asks the provider. One that does not answer leaves what it said last."""
    try:
        limits = email.limits()
    except NotTold as problem:
        logger.error("The provider does not say how much the account may send (%s).", problem)
        return
    if limits is not None:
        told(rate=limits.rate, quota=limits.quota, sent=limits.sent)


# --- Which installation sends ---------------------------------------------------------------------------------------------


def home_of_this() -> str:
    """What tells this installation from a copy that was brought up elsewhere: ATRIUM_INSTANCE, else its database's address and what the server says
    of itself; where the database is on this machine, also which machine it is, and of the embedded one the folder.

    A dump goes to another server, a snapshot to another address, a copied folder to another place or machine. Only the image of a whole machine,
    started beside it with the same name, is not told apart: that one needs ATRIUM_INSTANCE.
    """
    if settings.INSTANCE:
        return str(settings.INSTANCE)[:64]
    known = connection.settings_dict
    return _digest(str(known["HOST"]), str(known["PORT"]), str(known["NAME"]))


@cache
def _digest(host: str, port: str, name: str) -> str:
    where = [str(settings.VAR)] if settings.EMBEDDED else [host, port]  # the embedded one's port is another at each start
    if settings.EMBEDDED or host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/"):
        where.append(_machine())
    return hashlib.sha256("\0".join([*where, name, _server()]).encode()).hexdigest()[:32]


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


def _server() -> str:
    """PostgreSQL's own number, made with its folder. Some hosts keep it from ordinary users."""
    if not _row("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")[0]:
        return ""
    return str(_row("SELECT system_identifier FROM pg_control_system()")[0])


def at_home() -> bool:
    """Whether this installation is the one that sends. The first that asks becomes it."""
    if not _account()[4]:
        _execute("UPDATE notifications_sendingaccount SET home = %s WHERE id = 1 AND home = ''", [home_of_this()])
    return bool(_account()[4] == home_of_this())


def adopt() -> None:
    """From now on this installation sends, and whichever it was before does not."""
    _account()
    _execute("UPDATE notifications_sendingaccount SET home = %s WHERE id = 1", [home_of_this()])


def _execute(statement: str, parameters: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _row_or_none(statement: str, parameters: Any = None) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        found: tuple[Any, ...] | None = cursor.fetchone()
        return found


def _row(statement: str, parameters: Any = None) -> tuple[Any, ...]:
    found = _row_or_none(statement, parameters)
    assert found is not None
    return found
