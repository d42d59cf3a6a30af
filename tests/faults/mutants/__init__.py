"""The product with one guard taken out, for tests that must notice. Nothing of this is in the product.

A mutant changes a line of a function's source and puts the code in its place. A line that is no longer there is an error, so
that no mutant outlives its guard in silence.
"""

import inspect
import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import django

# A mutated process imports this before manage.py has set anything up, and the models want that first.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engagement.settings")
django.setup()

from analytics.stream import claim, events, identities, links, loop  # noqa: E402
from engagement import set_aside  # noqa: E402
from engagement.door import commit  # noqa: E402
from notifications import planning  # noqa: E402
from notifications.delivery import claim as claim_of_messages  # noqa: E402
from notifications.delivery import sending  # noqa: E402
from operations.backups import holding, replaying, rotation  # noqa: E402
from operations.work import redrives  # noqa: E402

Change = tuple[Callable[..., Any], str, str]  # function, what stands there, what stands there instead

CATALOGUE: Final[dict[str, tuple[Change, ...]]] = {
    # After a restore: what people asked for is not applied, or to the wrong ones; numbers are given twice; the last good backup goes.
    "withdrawal_of_strangers_dropped": ((replaying._say, "{one.who for one in lasting if not one.given}", "set()"),),
    "erased_agree_again": ((replaying._say, "if one.who not in erased or one.at > erased[one.who]]", "]"),),
    "erasures_not_remembered": ((replaying.replay, "_remember([", "list(["),),
    "numbers_given_again": ((holding.advance_numbers, "if reached > (last or 0):", "if False:"),),
    "last_good_one_removed": ((rotation.kept, "if one.verified][:1]", "if one.verified][:0]"),),
    # Rows are gone before their work is done.
    "delete_then_work": ((claim.take, "    return sorted(", '    connection.execute("COMMIT; BEGIN")\n    return sorted('),),
    # What is stored already is not looked for; or only under the day that an event says; or its collision is an error.
    "repeats_not_asked": ((events._known, "if not asked:", "if True:"),),
    "other_days_not_asked": ((events._known, "for active in days.get(id, ())", "for active in days.get(id, ()) if active in day"),),
    "collision_not_expected": ((events.store, "raise Collision from error", "raise"),),
    "keys_not_sorted": ((identities.remember, "ORDER BY id FOR NO KEY UPDATE", "ORDER BY random() FOR NO KEY UPDATE"),),
    "attempts_not_committed": ((claim.begin, "attempts = t.attempts + 1", "attempts = t.attempts"),),
    "forward_omitted": ((identities._strangers, "if shard not in locked:", "if False:"),),
    "lock_not_taken": ((claim.lock, "WHERE pg_try_advisory_xact_lock(%s, s)", "WHERE %s > 0"),),
    "claims_not_settled": ((loop.Worker.housekeep, "links.settle(self.connection, self.atlas)", "pass"),),
    # The device changes hands, and its past stays where it was.
    "past_left_behind": ((links._settle_one, "if owner != shopper:", "if False:"),),
    # Whose the device is, is read before the wait for it.
    "joined_while_waiting": (
        (
            links._settle_one,
            "FROM engagement_device WHERE id = %s FOR NO KEY UPDATE",
            "FROM engagement_device d JOIN engagement_shopper s ON s.id = d.owner_id WHERE d.id = %s FOR NO KEY UPDATE OF d",
        ),
    ),
    # The door answers what it has only written down.
    "answer_before_commit": ((commit.Committer.commit, "await done", "return"),),
    "commit_not_waited_for": (),
    # A message is handed to the wire while nothing says so yet.
    "sent_before_claimed": (
        (claim_of_messages.take, 'point("send.before_claim")', "transaction.set_rollback(True)"),
        (sending._fate, "if not ours or state", "if state"),
    ),
    # Whether a shopper may be told is asked when his message is planned; or not again just before it leaves.
    "consent_asked_at_planning_alone": (
        (claim_of_messages.take, "eligibility.judge(cursor, campaign, shoppers, now, terms=terms)", "dict.fromkeys(shoppers)"),
        (sending.leaving, "[_fate(message", "[None and _fate(message"),
    ),
    "not_asked_again": ((sending.leaving, "[_fate(message", "[None and _fate(message"),),
    "planner_not_locked": ((planning._slice, "FOR UPDATE OF r SKIP LOCKED", ""),),
    # Parked work is sent on all at once, by two at once, or again; what fails again is not known for what was sent on; what is gone is not counted.
    "redrive_without_canary": ((redrives.redrive, "_send_canary(made, declared, now)", "_release(made, declared, made.total, now)"),),
    "redrive_not_held": ((redrives._advance, '.select_for_update(skip_locked=True, of=("self",))', ""),),
    "sent_on_twice": ((set_aside.send_on, "execute(REPLAY,", 'execute(REPLAY.replace("replayed_at IS NULL", "id > 0"),'),),
    "set_aside_without_its_number": ((claim.set_aside, "now(), id FROM gone", "now(), NULL FROM gone"),),
    "failures_not_counted": ((redrives._release_at_rate, "if found.parked_again >= FEW and", "if False and"),),
    "gone_not_counted": ((redrives._release, "update(state=Item.GONE)", "delete()"),),
    "sums_not_checked": ((redrives._finish, "sums.check(redrive, found)", "pass"),),
}


def apply(name: str) -> None:
    """For the rest of this process."""
    if name == "commit_not_waited_for":
        commit.OPTIONS = commit.OPTIONS.replace("synchronous_commit=on", "synchronous_commit=off")
    for function, old, new in CATALOGUE[name]:
        function.__code__ = changed(function, old, new)


@contextmanager
def applied(name: str) -> Iterator[None]:
    """For a while, in this process."""
    kept = [(function, function.__code__) for function, _, _ in CATALOGUE[name]]
    apply(name)
    try:
        yield
    finally:
        for function, code in kept:
            function.__code__ = code


def changed(function: Callable[..., Any], old: str, new: str) -> Any:
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} no longer reads {old!r}."
    made: dict[str, Any] = dict(function.__globals__)
    exec(compile(source.replace(old, new), inspect.getfile(function), "exec"), made)
    return made[function.__name__].__code__
