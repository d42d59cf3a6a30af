"""What is counted and timed. No Django, no ORM: the door and the stream count here, thousands of times a second.

    ACCEPTED = metrics.counter("atrium_accepted_events_total", "Events accepted by the door")
    REFUSED = metrics.counters("atrium_refused_requests_total", "Requests refused as a whole", "code")
    ACCEPTED.inc(4)
    REFUSED.of("unknown_key").inc()

measures.py   counters and histograms in this process's memory
shelf.py      where the processes of one machine lay down what they counted, for whoever is asked at /metrics
text.py       as Prometheus reads it
emf.py        as CloudWatch reads it
telling.py    `begin`: this process tells what it counts, by one of the two, until it ends

Names are atrium_<what>_<unit>; each is in RUNBOOK.md. Labels are words of closed lists: never a shopper, a device, a key, an address, nor an
organisation, of which there may be thousands.
"""

from engagement.metrics.measures import EMF, MODE, OFF, PROMETHEUS, SIZES, Counter, Family, Gauge, Histogram, Laps, counter, counters, histogram, histograms
from engagement.metrics.telling import begin, tell_now

__all__ = [
    "EMF",
    "MODE",
    "OFF",
    "PROMETHEUS",
    "SIZES",
    "Counter",
    "Family",
    "Gauge",
    "Histogram",
    "Laps",
    "begin",
    "counter",
    "counters",
    "histogram",
    "histograms",
    "tell_now",
]
