"""Machines that open mails and follow their links are told from people: by their names, their manners, their haste, and by a link that nobody sees."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from engagement.models import Organisation
from notifications import links, traces
from notifications.models import Message
from tests.notifications.visiting import BROWSER, click, events, got, link_of, pixel, visitor


@pytest.fixture
def told(acme: Organisation) -> Message:
    """A message that Ann got an hour ago, with consent."""
    return got(acme, "ann")


@pytest.mark.parametrize(
    ("agent", "by"),
    [
        (BROWSER, "person"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", "person"),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)", "person"),
        ("Mozilla/5.0", "machine"),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "unknown"),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "unknown"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) SafeLinks/1.0", "machine"),
        ("BarracudaCentral/1.0", "machine"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "machine"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0 Safari/537.36", "machine"),
        ("python-requests/2.34", "machine"),
        ("curl/8.5.0", "machine"),
        ("", "unknown"),
        ("Something else", "unknown"),
    ],
)
def test_machines_are_told_from_people_by_what_they_call_themselves(told: Message, agent: str, by: str) -> None:
    visitor(agent).get(pixel(told))
    assert [event[:2] for event in events(told)] == [("open", by)]


def test_who_only_asks_for_the_head_or_ahead_of_time_is_a_machine(told: Message) -> None:
    visitor().head(pixel(told))
    assert Client(headers={"user-agent": BROWSER, "sec-purpose": "prefetch;prerender"}).get(click(told, link_of(told).pk)).status_code == 302
    assert events(told) == [("open", "machine", "head"), ("click", "machine", "prefetch")]


def test_what_comes_with_the_sending_is_a_machines(told: Message) -> None:
    Message.objects.filter(pk=told.pk).update(sent_at=timezone.now())
    visitor().get(pixel(told))
    visitor().get(click(told, link_of(told).pk))
    assert events(told) == [("open", "machine", "at once"), ("click", "machine", "at once")]
    traces.opened(told.pk, timezone.now() + timedelta(seconds=5), "person", "browser")
    assert events(told)[-1] == ("open", "person", "browser"), "Also within the same minute: it is somebody else."


def test_whoever_follows_everything_at_once_is_a_machine(told: Message) -> None:
    now = timezone.now().replace(second=10)
    several = [link_of(told, f"https://shop.example/{number}").pk for number in range(4)]
    for number, link in enumerate(several):
        traces.clicked(told.pk, link, now + timedelta(milliseconds=100 * number), "person", "browser")
    assert {event[1:] for event in events(told)} == {("machine", "burst")}, "The first two as well, once the third came."
    traces.clicked(told.pk, several[0], now + timedelta(minutes=2), "person", "browser")
    traces.clicked(told.pk, several[1], now + timedelta(minutes=2, seconds=4), "person", "browser")
    assert [event[1] for event in events(told)][-2:] == ["person", "person"]


@pytest.mark.django_db(transaction=True)
def test_many_links_at_one_instant_are_a_machines_on_many_connections_too(acme: Organisation) -> None:
    told = got(acme, "ann")
    several = [link_of(told, f"https://shop.example/{number}").pk for number in range(6)]
    together, now = threading.Barrier(len(several)), timezone.now()

    def follow(link: int) -> None:
        try:
            together.wait(10)
            traces.clicked(told.pk, link, now, "person", "browser")
        finally:
            connection.close()

    threads = [threading.Thread(target=follow, args=(link,)) for link in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event[1] for event in events(told)] == ["machine"] * len(several)


def test_the_link_that_nobody_sees_gives_its_visitor_away(told: Message) -> None:
    visitor().get(click(told, link_of(told).pk))
    assert events(told) == [("click", "person", "browser")]
    assert visitor().get(click(told, links.HONEYPOT)).status_code == 200
    visitor().get(click(told, link_of(told, "https://shop.example/b").pk))
    assert {event[:2] for event in events(told)} == {("click", "machine")} and len(events(told)) == 3
