"""What Atrium does by itself. Each action is declared (`ACTIONS`), has a switch (on, dry run, off), and leaves a row for what was seen, what was done
and what came of it. `look` goes round them; the watch calls it."""

from operations.upkeep.actions import ACTIONS
from operations.upkeep.declaration import Action, Seen
from operations.upkeep.round import NoSuchAction, look, mode, switch

__all__ = ["ACTIONS", "Action", "NoSuchAction", "Seen", "look", "mode", "switch"]
