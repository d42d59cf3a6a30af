"""When each beacon was heard, hour by hour: how people learn that one is silent. Noted in memory, and written now and then, beside the events' transactions.

What a crash forgets is seconds; what is noted of a transaction that is rolled back was heard all the same.
"""

import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

from analytics.stream.batch import to_datetime
from engagement import inbox

Ints = npt.NDArray[np.int64]
Connection = psycopg.Connection[tuple[Any, ...]]

KEPT_DAYS: Final = 9
HOUR_US: Final = 3_600_000_000
# Under load one batch in some seconds tells enough: a beacon that is heard at all is heard by many then. A small batch is always looked at.
SMALL: Final = 500
REST_S: Final = 2.0
MOST: Final = 50_000  # lines kept between two writings: anybody may send addresses that nobody knows
WRITE: Final = """
    INSERT INTO analytics_beaconheard AS t (beacon_id, hour, at)
    SELECT b.id, x.h, x.at FROM unnest(%b::bigint[], %b::bytea[], %b::int[], %b::timestamptz[]) AS x(o, a, h, at)
    JOIN engagement_beacon b ON b.organisation_id = x.o AND b.address = x.a ORDER BY 1, 2
    ON CONFLICT (beacon_id, hour) DO UPDATE SET at = greatest(t.at, excluded.at)
"""


class Heard:
    def __init__(self) -> None:
        self._latest: dict[tuple[int, bytes, int], int] = {}  # organisation, address, hour since 1970: the last instant
        self._next = 0.0

    def note(self, organisation: int, records: npt.NDArray[np.void], at: Ints) -> None:
        """Sightings among the events of an organisation. `at`: when they happened."""
        now = time.monotonic()
        if len(records) > SMALL and now < self._next:
            return
        self._next = now + REST_S
        sightings = np.flatnonzero(records["kind"] == inbox.SIGHTING)
        bodies, lengths, instants = records["body"][sightings].tolist(), records["flag"][sightings].tolist(), at[sightings].tolist()
        for body, length, instant in zip(bodies, lengths, instants, strict=True):
            line = (organisation, body[:length], instant // HOUR_US)
            if instant > self._latest.get(line, 0) and (line in self._latest or len(self._latest) < MOST):
                self._latest[line] = instant

    def write(self, connection: Connection) -> None:
        """Several streams may write of the same beacon; they come in the same order."""
        since = (time.time_ns() // 1000 // HOUR_US) - KEPT_DAYS * 24
        lines = [(line, instant) for line, instant in self._latest.items() if line[2] >= since]  # of an import of history nothing is wanted
        self._latest = {}
        if lines:
            organisations, addresses, hours = zip(*(line for line, _ in lines), strict=True)
            connection.execute(WRITE, [list(organisations), list(addresses), list(hours), [to_datetime(instant) for _, instant in lines]])
