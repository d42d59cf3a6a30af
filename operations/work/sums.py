"""What became of a redrive's items, in numbers that must add up."""

from dataclasses import dataclass

from django.db.models import Count

from operations.models import Redrive, RedriveItem

Item = RedriveItem.State


class DoesNotAddUp(Exception):
    """Items of a redrive were lost, or came from nowhere."""


@dataclass(frozen=True)
class Sums:
    """`total` was written down when the redrive began; the others are counted."""

    parked: int
    released: int  # and not at their end
    done: int
    parked_again: int
    gone: int
    total: int

    @property
    def counted(self) -> int:
        return self.parked + self.released + self.done + self.parked_again + self.gone

    def __str__(self) -> str:
        return (
            f"{self.parked} parked + {self.released} sent on + {self.done} went well + {self.parked_again} parked again + {self.gone} gone = "
            f"{self.counted} of {self.total}"
        )


def count(redrive: Redrive) -> Sums:
    by_state = dict(RedriveItem.objects.filter(redrive=redrive).values_list("state").annotate(number=Count("pk")))
    parked, released, done, again, gone = (by_state.get(state, 0) for state in (Item.PARKED, Item.RELEASED, Item.DONE, Item.PARKED_AGAIN, Item.GONE))
    return Sums(parked, released, done, again, gone, redrive.total)


def check(redrive: Redrive, sums: Sums) -> None:
    """Raises DoesNotAddUp."""
    if sums.counted != sums.total:
        raise DoesNotAddUp(f"Redrive {redrive.pk}: {sums}.")
    if redrive.state == Redrive.State.FINISHED and (sums.parked or sums.released):
        raise DoesNotAddUp(f"Redrive {redrive.pk} has ended, and not all its items have: {sums}.")


def reconcile(redrive: Redrive) -> Sums:
    """The numbers as they are now. Raises DoesNotAddUp."""
    redrive.refresh_from_db()
    sums = count(redrive)
    check(redrive, sums)
    return sums
