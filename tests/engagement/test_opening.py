"""Opening hours: what may be said, what that means on days on which the clock changes, and how they come into a venue."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from hypothesis import assume, example, given
from hypothesis import strategies as st

from analytics.calendars import Clock, to_us
from engagement import opening, provisioning
from engagement.models import Organisation, PlacesChange, Venue

NIGHT = {name: [["22:00", "04:00"]] for name in opening.WEEKDAYS}
WEEK = {"mon": [["09:00", "12:30"], ["13:30", "21:00"]], "sat": [["10:00", "24:00"]], "exceptions": {"2026-12-25": []}}
# Zones and days on which their clocks change: forth and back by an hour, by half an hour, at midnight; a day that never was; and a quiet one.
CHANGES = (
    *(("Europe/Berlin", date(2026, 3, 29)), ("Europe/Berlin", date(2026, 10, 25)), ("America/New_York", date(2026, 3, 8))),
    *(("America/New_York", date(2026, 11, 1)), ("Australia/Lord_Howe", date(2026, 4, 5)), ("Australia/Lord_Howe", date(2026, 10, 4))),
    *(("America/Sao_Paulo", date(2018, 11, 4)), ("America/Sao_Paulo", date(2018, 2, 17)), ("Pacific/Apia", date(2011, 12, 30))),
    ("Africa/Johannesburg", date(2026, 6, 1)),
)


def told(hours: Any) -> dict[str, str]:
    return dict(opening.faults(hours))


def lengths(hours: Any, day: date, zone: str) -> list[timedelta]:
    return [end - start for start, end in opening.spans(hours, day, ZoneInfo(zone))]


class TestWhatMayBeSaid:
    @pytest.mark.parametrize("hours", [None, {}, WEEK, NIGHT, {"exceptions": {}}, {"sun": []}, {"mon": [["00:00", "24:00"]]}])
    def test_hours_as_people_have_them_are_taken(self, hours: Any) -> None:
        assert opening.faults(hours) == []

    @pytest.mark.parametrize(
        ("hours", "place", "says"),
        [
            ([], "", "object with the days"),
            ("always", "", "object with the days"),
            ({"monday": []}, ".monday", "no such field"),
            ({"mon": None}, ".mon", "list of open times"),
            ({"mon": [["09:00", "21:00"]] * 7}, ".mon", "at most 6"),
            ({"mon": ["09:00-21:00"]}, ".mon[0]", "beginning and an end"),
            ({"mon": [["09:00"]]}, ".mon[0]", "beginning and an end"),
            ({"mon": [["9:00", "21:00"]]}, ".mon[0][0]", "form 09:00"),
            ({"mon": [["09:00", "24:01"]]}, ".mon[0][1]", "form 09:00"),
            ({"mon": [["09:00", "21:60"]]}, ".mon[0][1]", "form 09:00"),
            ({"mon": [["09:00", "21:00\n"]]}, ".mon[0][1]", "form 09:00"),
            ({"mon": [["09:00", "٢١:00"]]}, ".mon[0][1]", "form 09:00"),
            ({"mon": [[9, "21:00"]]}, ".mon[0][0]", "form 09:00"),
            ({"mon": [["24:00", "09:00"]]}, ".mon[0][0]", "begins at 24:00"),
            ({"mon": [["09:00", "09:00"]]}, ".mon[0]", "must differ"),
            ({"mon": [["09:00", "12:00"], ["11:59", "14:00"]]}, ".mon[1]", "overlaps"),
            ({"mon": [["13:00", "14:00"], ["09:00", "13:01"]]}, ".mon[0]", "overlaps"),
            ({"mon": [["20:00", "02:00"], ["23:00", "24:00"]]}, ".mon[1]", "overlaps"),
            ({"exceptions": []}, ".exceptions", "object with dates"),
            ({"exceptions": {"2026-02-30": []}}, ".exceptions.2026-02-30", "not a date"),
            ({"exceptions": {"20261225": []}}, ".exceptions.20261225", "not a date"),
            ({"exceptions": {"9999-12-31": []}}, ".exceptions.9999-12-31", "not a date"),
            ({"exceptions": {"2026-12-24": [["x", "14:00"]]}}, ".exceptions.2026-12-24[0][0]", "form 09:00"),
            ({"exceptions": {f"{date(2026, 1, 1) + timedelta(days=n)}": [] for n in range(401)}}, ".exceptions", "at most 400"),
        ],
    )
    def test_each_fault_is_told_with_its_place(self, hours: Any, place: str, says: str) -> None:
        assert list(told(hours)) == [place]
        assert says in told(hours)[place]

    def test_all_faults_are_told_at_once(self) -> None:
        assert list(told({"mon": [["x", "y"]], "tue": 1, "exceptions": {"never": []}})) == [".mon[0][0]", ".mon[0][1]", ".tue", ".exceptions.never"]

    def test_times_that_touch_and_a_night_that_reaches_into_the_next_day_do_not_overlap(self) -> None:
        assert not told({"mon": [["09:00", "12:00"], ["12:00", "14:00"], ["22:00", "03:00"]], "tue": [["02:00", "05:00"]]})

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda below: st.lists(below) | st.dictionaries(st.text(), below)))
    def test_nothing_that_json_can_say_breaks_it(self, value: Any) -> None:
        for hours in (value, {"mon": value}, {"mon": [value]}, {"exceptions": value}, {"exceptions": {"2026-12-25": value}}):
            if not opening.faults(hours) and hours is not None:
                opening.spans(opening.canonical(hours), date(2026, 12, 25), ZoneInfo("UTC"))

    def test_one_form_for_one_meaning(self) -> None:
        said = {"sat": [], "mon": [["13:30", "21:00"], ["09:00", "12:30"]], "exceptions": {}}
        assert opening.canonical(said) == {"mon": WEEK["mon"]}

    def test_what_is_written_is_understood(self) -> None:
        assert opening.written(WEEK["mon"]) == "09:00-12:30, 13:30-21:00"
        assert opening.understood("9:00 – 12:30; 13:30-21:00,") == WEEK["mon"]
        assert opening.understood("9-14, 18:30 - 24") == [["09:00", "14:00"], ["18:30", "24:00"]]
        assert opening.understood("") == []
        for wrong in ("all day", "09:00", "09:00-12:00-13:00"):
            with pytest.raises(ValueError):
                opening.understood(wrong)


class TestOnTheClock:
    def test_a_night_is_an_hour_shorter_or_longer_when_the_clock_changes(self) -> None:
        assert lengths(NIGHT, date(2026, 3, 28), "Europe/Berlin") == [timedelta(hours=5)]
        assert lengths(NIGHT, date(2026, 10, 24), "Europe/Berlin") == [timedelta(hours=7)]
        assert lengths(NIGHT, date(2026, 10, 25), "Europe/Berlin") == [timedelta(hours=6)]
        assert lengths(NIGHT, date(2026, 4, 4), "Australia/Lord_Howe") == [timedelta(hours=6, minutes=30)]

    def test_a_whole_day_is_as_long_as_the_day(self) -> None:
        whole = {"sun": [["00:00", "24:00"]]}
        assert [lengths(whole, day, "Europe/Berlin") for day in (date(2026, 3, 29), date(2026, 10, 25))] == [[timedelta(hours=23)], [timedelta(hours=25)]]

    def test_a_beginning_that_the_clock_jumps_over_makes_no_day_of_it(self) -> None:
        """02:30 to 03:15 on a night without an hour from 02:00: by the offset before, 02:30 is 03:30, after the end."""
        assert lengths({"sun": [["02:30", "03:15"]]}, date(2026, 3, 29), "Europe/Berlin") == []
        [(start, end)] = opening.spans({"sun": [["02:30", "05:00"]]}, date(2026, 3, 29), ZoneInfo("Europe/Berlin"))
        assert (start, end) == (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime(2026, 3, 29, 3, tzinfo=UTC))

    def test_what_the_clock_shows_twice_is_meant_the_first_time(self) -> None:
        [(start, end)] = opening.spans({"sun": [["00:00", "02:30"]]}, date(2026, 10, 25), ZoneInfo("Europe/Berlin"))
        assert (start, end) == (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC))

    def test_a_day_that_never_was_has_no_hours(self) -> None:
        assert lengths({"fri": [["09:00", "17:00"]]}, date(2011, 12, 30), "Pacific/Apia") == []
        clock = Clock.of("Pacific/Apia", {"fri": [["09:00", "17:00"]]})
        saturday = np.array([to_us(datetime(2011, 12, 31, 12, tzinfo=ZoneInfo("Pacific/Apia")))])
        assert not clock.is_open(saturday)[0]

    def test_an_exception_stands_for_its_whole_weekday(self) -> None:
        zone = ZoneInfo("UTC")
        assert opening.spans({**NIGHT, "exceptions": {"2026-12-25": []}}, date(2026, 12, 25), zone) == []
        clock = Clock.of("UTC", {**NIGHT, "exceptions": {"2026-12-25": []}})
        instants = np.array([to_us(datetime(2026, 12, 25, hour, tzinfo=UTC)) for hour in (1, 3, 4, 23)])
        assert clock.is_open(instants).tolist() == [True, True, False, False]  # the night before goes on until 04:00


times = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}")
intervals = st.tuples(times, times | st.just("24:00")).filter(lambda pair: pair[0] != pair[1]).map(list)
days = st.lists(intervals, max_size=3).filter(lambda listed: not opening.faults({"mon": listed}))
weeks = st.fixed_dictionaries({}, optional=dict.fromkeys(opening.WEEKDAYS, days))


def shown(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def by_the_wall(hours: Any, instant: datetime, zone: ZoneInfo) -> bool:
    """Open where what the clock on the wall shows lies in an open time of that day, or in one of the day before that reaches over midnight."""
    seen = shown(instant, zone)
    for back in (0, 1):
        day = seen.date() - timedelta(days=back)
        skipped = shown(datetime.combine(day, time(12), zone).astimezone(UTC), zone).date() != day
        named = day - timedelta(days=skipped)  # the night before is that of the last day that was
        for begin, end in hours.get("exceptions", {}).get(named.isoformat(), hours.get(opening.WEEKDAYS[named.weekday()], [])):
            start, until = (datetime.combine(day, time()) + timedelta(hours=int(clock[:2]), minutes=int(clock[3:])) for clock in (begin, end))
            if start <= seen < (until if until > start else until + timedelta(days=1)):
                return True
    return False


def plain(clock: str, day: date, zone: ZoneInfo) -> bool:
    """Whether the wall shows that time once: neither jumped over nor twice."""
    wall = datetime.combine(day, time()) + timedelta(hours=int(clock[:2]), minutes=int(clock[3:]))
    first, second = wall.replace(tzinfo=zone, fold=0), wall.replace(tzinfo=zone, fold=1)
    return first.utcoffset() == second.utcoffset() and shown(first.astimezone(UTC), zone) == wall


@given(st.sampled_from(CHANGES), weeks, st.none() | days, st.lists(st.integers(-36 * 60, 60 * 60), min_size=1, max_size=40))
@example(CHANGES[0], NIGHT, None, list(range(-36 * 60, 60 * 60, 15)))
@example(CHANGES[1], NIGHT, None, list(range(-36 * 60, 60 * 60, 15)))
@example(CHANGES[4], NIGHT, [], list(range(-36 * 60, 60 * 60, 15)))
@example(CHANGES[8], NIGHT, None, list(range(-36 * 60, 60 * 60, 15)))
@example(("Pacific/Apia", date(2011, 12, 30)), {}, [["00:02", "00:01"]], [0])
def test_a_venue_is_open_when_the_clock_on_its_wall_says_so(change: tuple[str, date], week: Any, single: Any, minutes: list[int]) -> None:
    """On every day on which clocks change, but for open times that begin or end at what the clock skips or shows twice."""
    zone, day = ZoneInfo(change[0]), change[1]
    hours = week if single is None else {**week, "exceptions": {day.isoformat(): single}}
    around = [day + timedelta(days=n) for n in range(-4, 5)]
    listed = {clock for one in (*week.values(), single or []) for pair in one for clock in pair}
    assume(all(plain(clock, one, zone) for clock in listed for one in around if one != date(2011, 12, 30)))
    midnight = datetime.combine(day, time(), zone).astimezone(UTC)
    instants = [midnight + timedelta(minutes=minute) for minute in minutes]
    found = Clock.of(change[0], hours).is_open(np.array([to_us(instant) for instant in instants]))
    assert found.tolist() == [by_the_wall(hours, instant, zone) for instant in instants]


@given(st.sampled_from(CHANGES), weeks, st.integers(-2, 2))
def test_spans_of_a_day_are_apart_and_none_is_empty(change: tuple[str, date], week: Any, offset: int) -> None:
    found = sorted(opening.spans(week, change[1] + timedelta(days=offset), ZoneInfo(change[0])))
    assert all(start < end for start, end in found)
    assert all(end - start <= timedelta(hours=25) for start, end in found)


# --- In the provision file and in the admin -------------------------------------------------------------------------------


def say(hours: Any, **more: Any) -> provisioning.Report:
    return provisioning.provision({"organisation": {"key": "acme"}, "venues": [{"key": "north", "opening_hours": hours}]}, **more)


@pytest.mark.django_db
class TestInTheFile:
    def test_hours_come_and_go_and_told_again_change_nothing(self, north: Venue) -> None:
        assert north.opening_hours is None
        assert say(WEEK).changed == 1
        north.refresh_from_db()
        assert north.opening_hours == WEEK
        assert say({**WEEK, "sun": [], "mon": WEEK["mon"][::-1]}).changed == 0
        assert provisioning.provision({"organisation": {"key": "acme"}, "venues": [{"key": "north", "name": "North Mall"}]}).changed == 0
        assert say(None).changed == 1
        north.refresh_from_db()
        assert north.opening_hours is None

    def test_the_difference_shows_them(self, north: Venue) -> None:
        say({"mon": [["09:00", "21:00"]]})
        report = say(WEEK, dry_run=True)
        [line] = report.lines
        assert line == ("change venue north: opening_hours mon 09:00-21:00 -> mon 09:00-12:30, 13:30-21:00; sat 10:00-24:00; 2026-12-25 closed")
        assert say({}, dry_run=True).lines == ["change venue north: opening_hours mon 09:00-21:00 -> always closed"]
        assert say(None, dry_run=True).lines == ["change venue north: opening_hours mon 09:00-21:00 -> none"]
        north.refresh_from_db()
        assert north.opening_hours == {"mon": [["09:00", "21:00"]]}

    def test_a_fault_has_its_place_in_the_file_and_changes_nothing(self, north: Venue) -> None:
        with pytest.raises(provisioning.Refused) as refused:
            say({"mon": [["09:00", "25:00"]], "exceptions": {"2026-13-01": []}})
        assert [fault.place for fault in refused.value.faults] == [
            "venues[0].opening_hours.exceptions.2026-13-01",
            "venues[0].opening_hours.mon[0][1]",
        ]
        north.refresh_from_db()
        assert north.opening_hours is None

    def test_stays_are_not_judged_again_for_them(self, north: Venue) -> None:
        say(WEEK)
        assert not PlacesChange.objects.exists()


def form(**fields: str) -> dict[str, str]:
    return {"name": "North Mall", "time_zone": "Africa/Johannesburg", **dict.fromkeys((*opening.WEEKDAYS, "exceptions"), ""), **fields}


@pytest.mark.django_db
class TestInTheAdmin:
    @pytest.fixture
    def page(self, north: Venue) -> str:
        return reverse("admin:engagement_venue_change", args=[north.pk])

    @pytest.fixture
    def at_acme(self, alice: User) -> Client:
        client = Client()
        client.force_login(alice)
        return client

    def test_an_owner_writes_them_as_people_do_and_finds_them_again(self, north: Venue, page: str, at_acme: Client) -> None:
        assert at_acme.post(page, form(mon="9:00 - 12:30, 13:30–21:00", sat="10:00-24:00", exceptions="2026-12-25 closed\n")).status_code == 302
        north.refresh_from_db()
        assert north.opening_hours == WEEK
        shown = at_acme.get(page).content.decode()
        assert 'value="09:00-12:30, 13:30-21:00"' in shown and "2026-12-25 closed" in shown
        assert at_acme.post(page, form(always_open="on", mon="09:00-12:30")).status_code == 302
        north.refresh_from_db()
        assert north.opening_hours is None

    @pytest.mark.parametrize(
        ("said", "field", "message"),
        [
            ({"tue": "all day"}, "tue", "Write 09:00-21:00"),
            ({"tue": "09:00-25:00"}, "tue", "A time has the form 09:00"),
            ({"tue": "09:00-12:00, 11:00-13:00"}, "tue", "overlaps"),
            ({"exceptions": "Christmas closed"}, "exceptions", "Christmas: This is not a date"),
            ({"exceptions": "2026-12-24"}, "exceptions", "cannot be read"),
            ({"exceptions": "2026-12-24 soon"}, "exceptions", "cannot be read"),
            ({"exceptions": "2026-12-24 09:00-24:30"}, "exceptions", "2026-12-24: A time has the form"),
            ({"exceptions": "2026-12-24 closed\n2026-12-24 09:00-12:00"}, "exceptions", "stands there twice"),
        ],
    )
    def test_an_error_stands_beside_its_field(self, page: str, at_acme: Client, north: Venue, said: dict[str, str], field: str, message: str) -> None:
        answer = at_acme.post(page, form(**said))
        assert answer.status_code == 200
        errors = answer.context["adminform"].form.errors
        assert list(errors) == [field] and message in str(errors[field])
        north.refresh_from_db()
        assert north.opening_hours is None

    def test_an_analyst_reads_them_and_a_stranger_does_not(self, acme: Organisation, page: str, bob: User, charlie: User) -> None:
        say(WEEK)
        clients = {user: Client() for user in (bob, charlie)}
        for user, client in clients.items():
            client.force_login(user)
        shown = clients[bob].get(page).content.decode()
        assert "Monday: 09:00-12:30, 13:30-21:00" in shown and "Sunday: closed" in shown and "Fri 25 Dec 2026: closed" in shown
        assert clients[bob].post(page, form(mon="10:00-11:00")).status_code == 403
        assert clients[charlie].get(page).status_code == clients[charlie].post(page, form()).status_code == 404
        assert Venue.objects.get(key="north").opening_hours == WEEK
