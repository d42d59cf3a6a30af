"""What is wrong with a provision file, and where: `zones[3].parent: There is no zone mall-2.`"""

import re
from dataclasses import dataclass
from typing import Final

_SECTIONS: Final = ("", "organisation", "brands", "venues", "zones", "beacons", "keys")


@dataclass(frozen=True)
class Fault:
    place: str  # JSON path in the file; empty: the file itself
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class Refused(ValueError):
    """The file was not applied, because of `faults`: all that were found, in the order of the file."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class Wrong(ValueError):
    """One value is not what its field takes. `parts`: (place below the value, message)."""

    def __init__(self, message: str = "", *parts: tuple[str, str]) -> None:
        self.parts = parts or (("", message),)
        super().__init__("; ".join(text for _, text in self.parts))


def in_order(faults: list[Fault]) -> list[Fault]:
    """By section, then by number in it, so that zones[10] comes after zones[9]."""

    def order(fault: Fault) -> tuple[int, list[int], str]:
        section = re.split(r"[.\[]", fault.place)[0]
        known = _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS)
        return known, [int(number) for number in re.findall(r"\[(\d+)\]", fault.place)], fault.place

    return sorted(faults, key=order)
