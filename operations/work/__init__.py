"""Parked work of all kinds: what waits for which cause, and sending it on again once the cause is mended."""

from operations.work.kinds import Kind
from operations.work.listing import Parked, kinds, may, number_parked, parked
from operations.work.redrives import AlreadyUnderWay, IllegalMove, NothingParked, Refused, advance, held_up, redrive, stop
from operations.work.sums import DoesNotAddUp, Sums, reconcile

__all__ = [
    "AlreadyUnderWay",
    "DoesNotAddUp",
    "IllegalMove",
    "Kind",
    "NothingParked",
    "Parked",
    "Refused",
    "Sums",
    "advance",
    "held_up",
    "kinds",
    "may",
    "number_parked",
    "parked",
    "reconcile",
    "redrive",
    "stop",
]
