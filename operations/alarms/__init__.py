"""The alarms: what each reads, when that is wrong, and what people are told. One entry an alarm, and nothing of an alarm elsewhere."""

from typing import Final

from operations.alarms import intake, machine, mail, processes
from operations.alarms.declaration import CALM, COUNTED_UP_TO, Declaration, Found, Severity, named
from operations.alarms.processes import stream_lag

__all__ = ["ALARMS", "CALM", "COUNTED_UP_TO", "DECLARED", "Declaration", "Found", "Severity", "named", "stream_lag"]

ALARMS: Final = (*processes.ALARMS, *intake.ALARMS, *mail.ALARMS, *machine.ALARMS)
DECLARED: Final = {declaration.name: declaration for declaration in ALARMS}
