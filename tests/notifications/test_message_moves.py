"""The table of moves and the trigger say the same: whoever writes SQL cannot move a message otherwise."""

import uuid
from itertools import product

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from notifications.models import MESSAGE_MOVES, Message, MessageState

pytestmark = pytest.mark.django_db


def test_the_trigger_allows_exactly_the_moves_of_the_table() -> None:
    now = timezone.now()
    owned = {"organisation_id": 1, "campaign_id": 1, "run_id": 1, "send_after": now, "claim": uuid.uuid4(), "claimed_at": now, "updated_at": now}
    states = list(MessageState)
    rows = {state: Message.objects.create(shopper_id=number, state=state, **owned).pk for number, state in enumerate(states, 1)}
    allowed: dict[str, tuple[str, ...]] = dict.fromkeys(states, ())
    for before, after in product(states, states):
        if before != after and _moves(rows[before], after):
            allowed[before] = (*allowed[before], after)
    assert {state: set(moves) for state, moves in allowed.items()} == {state: set(moves) for state, moves in MESSAGE_MOVES.items()}


def _moves(pk: int, after: str) -> bool:
    """Whether it can go there. It is back where it was afterwards."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE notifications_message SET state = %s WHERE id = %s", [after, pk])
            transaction.set_rollback(True)
    except IntegrityError:
        return False
    return True
