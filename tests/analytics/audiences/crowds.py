"""Small crowds that are out to break audiences: the ledger's stays about odd days, and what was told of those people; and rules about them."""

from dataclasses import dataclass, field
from datetime import UTC
from fractions import Fraction
from typing import Any, Final

from django.db import connection
from django.utils import timezone
from hypothesis import strategies as st

from analytics import days, figures, marks
from analytics.audiences import columns, sets
from analytics.models import Audience
from engagement.models import Brand, ConsentState, Erasure, ListMember, Profile, Shopper, ShopperList
from engagement.models import Purchase as StoredPurchase
from notifications.models import Campaign, Message, MessageEvent, Run
from tests import audience_reference as reference
from tests.analytics import ledger as rows
from tests.analytics.ledger import BRANDS, DAY, HOUR, SHOPPERS, Ledger, instants, ledgers, moment
from tests.analytics.theatre import Connection
from tests.audience_reference import Person, Purchase
from tests.figures_reference import wall

LISTS: Final = ("vip", "club")
CAMPAIGNS: Final = ("spring",)
PURPOSES: Final = ("marketing", "service")
LANGUAGES: Final = ("", "de", "de-CH", "en", "den")
VALUES: Final = ("gold", "", "1", "2026-05-01", 1, 0, 2.5, -3, True, False)
AMOUNTS: Final = (None, Fraction(0), Fraction("9.99"), Fraction(10), Fraction("20.01"))
STATES: Final = ("planned", "sent", "delivered", "bounced", "skipped", "held_out")
NOBODY: Final = 77  # somebody of whom there is nothing but the number
EVERYBODY: Final = (*SHOPPERS, NOBODY)
_TABLES: Final = (
    *("notifications_messageevent", "notifications_message", "notifications_run", "notifications_campaign"),
    *("analytics_audiencechange", "analytics_audience", "engagement_erasure", "engagement_consentstate", "engagement_listmember"),
    *("engagement_shopperlist", "engagement_profile", "engagement_shopper"),
)


@dataclass
class Scene:
    """What there is, and its rows."""

    ledger: Ledger
    people: dict[int, Person]
    purchases: list[Purchase] = field(default_factory=list)
    messages: list[reference.Message] = field(default_factory=list)
    audiences: dict[str, Any] = field(default_factory=dict)

    def crowd(self) -> reference.Crowd:
        return reference.Crowd(self.ledger.world(), self.people, self.purchases, self.messages, self.audiences)

    @property
    def own(self) -> dict[str, Any]:
        return {"organisation": self.ledger.organisation}

    def build(self) -> None:
        """An empty database, then this."""
        days.forget()
        columns.forget()
        sets.forget()
        with connection.cursor() as cursor:
            cursor.execute("; ".join(f"DELETE FROM {table}" for table in _TABLES))
        self.ledger.build()
        own = self.own
        Shopper.objects.bulk_create(Shopper(pk=number, shard=0, external_id=f"s{number}", **own) for number in self.people)
        for key in LISTS:
            ShopperList.objects.create(key=key, name=key, **own)
        for key, rule in self.audiences.items():
            Audience.objects.create(key=key, name=key, rule=rule, **own)
        for number in self.people:
            self.tell(number)
        for purchase in self.purchases:
            self.sell(purchase)
        whole = Audience.objects.create(key="whole", name="whole", rule={"consent": {"channel": "email"}}, **own)
        for key in CAMPAIGNS:
            campaign = Campaign.objects.create(key=key, name=key, audience=whole, time_zone="UTC", **own)
            run = Run.objects.create(campaign=campaign, due_at=timezone.now())
            for one in self.messages:
                if one.campaign == key:
                    self.send(one, campaign, run)

    def tell(self, number: int) -> None:
        """Write what is known of somebody."""
        person, own = self.people[number], self.own
        told = {"language": person.language, "attributes": person.attributes, "updated_at": timezone.now(), **own}
        Profile.objects.update_or_create(shopper_id=number, defaults=told)
        for (channel, purpose), given in person.consents.items():
            held = {"given": given, "at": timezone.now(), **own}
            ConsentState.objects.update_or_create(shopper_id=number, channel=channel, purpose=purpose, defaults=held)
        for list_ in ShopperList.objects.all():
            ListMember.objects.update_or_create(list=list_, shopper_id=number, defaults={"present": list_.key in person.lists})

    def sell(self, one: Purchase) -> None:
        amount = None if one.amount is None else f"{float(one.amount):.2f}"
        StoredPurchase.objects.create(
            **self.own,
            key=f"b{StoredPurchase.objects.count()}",
            shopper_id=one.shopper,
            brand=Brand.objects.get(key=one.brand),
            at=moment(one.at),
            amount=amount,
            currency=one.currency,
        )

    def send(self, one: reference.Message, campaign: Campaign, run: Run) -> None:
        own, now = self.own, timezone.now()
        stored = Message.objects.create(campaign=campaign, run=run, shopper_id=one.shopper, state=one.state, send_after=now, updated_at=now, **own)
        for kind, by_whom in (("open", one.opened_by), ("click", one.clicked_by)):
            for number, by in enumerate(by_whom):
                MessageEvent.objects.create(message=stored, kind=kind, by=by, at=now, source=f"{kind}{number}", **own)

    def erase(self, number: int, crew: list[Connection]) -> None:
        """Somebody is gone, with all that was known of him."""
        if number not in self.people or len(self.people) == 1:
            return
        self.ledger.remove([stay for stay in self.ledger.stays if stay.shopper == number])
        for model in (Profile, ConsentState, ListMember, StoredPurchase):
            model.objects.filter(shopper_id=number).delete()
        Shopper.objects.filter(pk=number).delete()
        Erasure.objects.create(**self.own, finished_at=timezone.now())
        del self.people[number]
        self.purchases = [one for one in self.purchases if one.shopper != number]
        self.messages = [one for one in self.messages if one.shopper != number]


# --- what happens -----------------------------------------------------------------------------------------------------------


def act(scene: Scene, data: st.DataObject, crew: list[Connection]) -> None:
    """One thing happens."""
    ledger, kind = scene.ledger, data.draw(st.sampled_from(ACTS), label="act")
    if kind == "late":
        ledger.add(one for one in data.draw(rows.stays(ledger, 3)) if one.shopper in scene.people)
    elif kind == "withdrawn" and ledger.stays:
        ledger.remove([data.draw(st.sampled_from(ledger.stays))])
    elif kind == "longer" and ledger.stays:
        ledger.grow(data.draw(st.sampled_from(ledger.stays)), 30 * 60 * 1_000_000)
    elif kind == "merged":
        ledger.merge(*data.draw(st.permutations([one for one in SHOPPERS if one in scene.people] + [NOBODY] * 2))[:2])
    elif kind == "staff":
        ledger.leave_out(data.draw(st.sampled_from(sorted(scene.people))), lambda shoppers: marks.leave_for_shoppers(crew[0], shoppers))
    elif kind == "later":
        ledger.now += data.draw(st.sampled_from((1, HOUR, DAY)))
    elif kind == "made":
        figures.catch_up(crew[0], now=moment(ledger.now))
    elif kind == "told":
        number = data.draw(st.sampled_from(sorted(scene.people)))
        scene.people[number] = data.draw(people(known=scene.people[number]))
        scene.tell(number)
    elif kind == "bought":
        one = data.draw(purchases(ledger))
        if one.shopper in scene.people:
            scene.purchases.append(one)
            scene.sell(one)
    elif kind == "erased":
        scene.erase(data.draw(st.sampled_from(EVERYBODY)), crew)


ACTS: Final = ("late", "late", "withdrawn", "longer", "merged", "staff", "later", "made", "made", "told", "told", "bought", "erased")


# --- strategies -------------------------------------------------------------------------------------------------------------


@st.composite
def people(draw: st.DrawFn, known: Person | None = None) -> Person:
    """`known`: consents are never forgotten, only given or withdrawn."""
    consents = {("email", purpose): draw(st.booleans()) for purpose in draw(st.sets(st.sampled_from(PURPOSES)))}
    return Person(
        language=draw(st.sampled_from(LANGUAGES)),
        attributes=draw(st.dictionaries(st.sampled_from(("tier", "spent")), st.sampled_from(VALUES))),
        consents={**(known.consents if known else {}), **consents},
        lists=draw(st.sets(st.sampled_from(LISTS))),
    )


@st.composite
def purchases(draw: st.DrawFn, ledger: Ledger) -> Purchase:
    amount = draw(st.sampled_from(AMOUNTS))
    currency = "" if amount is None else draw(st.sampled_from(("EUR", "EUR", "ZAR")))
    return Purchase(draw(st.sampled_from(EVERYBODY)), draw(st.sampled_from(BRANDS)), draw(instants(ledger.anchor)), amount, currency)


@st.composite
def messages(draw: st.DrawFn) -> list[reference.Message]:
    by = st.lists(st.sampled_from(("person", "machine", "unknown")), max_size=2).map(tuple)
    some = draw(st.sets(st.sampled_from(EVERYBODY)))
    return [reference.Message(number, draw(st.sampled_from(CAMPAIGNS)), draw(st.sampled_from(STATES)), draw(by), draw(by)) for number in sorted(some)]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    ledger = draw(ledgers())
    ledger.purchases = []
    scene = Scene(ledger, {number: draw(people()) for number in EVERYBODY})
    scene.purchases = draw(st.lists(purchases(ledger), max_size=4))
    scene.messages = draw(messages())
    scene.audiences = {"inner": draw(rules(ledger, 1, audiences=()))}
    return scene


@st.composite
def ranges(draw: st.DrawFn, ledger: Ledger, *, ago: bool) -> dict[str, Any]:
    kinds = ("ever", "within", "within", "within", "dates", "instants")
    kind = draw(st.sampled_from((*kinds, "ago", "ago") if ago else kinds))
    number = st.sampled_from((0, 1, 1, 2, 7, 31, 400))
    if kind == "within":
        return {"within_days": draw(number)}
    if kind == "ago":
        least, most = sorted((draw(number), draw(number)))
        return draw(st.sampled_from(({"days_ago_at_least": least}, {"days_ago_at_most": most}, {"days_ago_at_least": least, "days_ago_at_most": most})))
    if kind == "dates":
        day = wall(ledger.anchor, "UTC").date()
        edges = sorted(reference.days_before(day, draw(st.sampled_from((-2, -1, 0, 1, 2, 30)))) for _ in range(2))
    elif kind == "instants":
        edges = [moment(at).astimezone(UTC).isoformat() for at in sorted((draw(instants(ledger.anchor)), draw(instants(ledger.anchor))))]
    else:
        return {}
    return draw(st.sampled_from(({"from": edges[0]}, {"to": edges[1]}, {"from": edges[0], "to": edges[1]})))


@st.composite
def leaves(draw: st.DrawFn, ledger: Ledger, audiences: tuple[str, ...]) -> dict[str, Any]:
    kinds = ("visited", "visited", "visited", "first_visit", "last_visit", "attribute", "language", "consent", "purchased", "campaign", "list")
    kind = draw(st.sampled_from((*kinds, "audience") if audiences else kinds))
    where = draw(
        st.sampled_from(({"zone": "brew"}, {"zone": "mall"}, {"zone": "ground"}, {"venue": "mall"}, {"venue": "east"}, {"brand": "brew"}, {"brand": "brew"}))
    )
    if kind == "visited":
        often: dict[str, Any] = draw(st.sampled_from(({}, {}, {"days_at_least": 2}, {"days_at_least": 3})))
        dwell: dict[str, Any] = draw(st.sampled_from(({}, {}, {"dwell_at_least_s": 300}, {"dwell_at_least_s": 3600}, {"dwell_at_least_s": 0.000001})))
        return {kind: {**where, **draw(ranges(ledger, ago=False)), **often, **dwell}}
    if kind in ("first_visit", "last_visit"):
        return {kind: {**where, **draw(ranges(ledger, ago=True))}}
    if kind == "attribute":
        value = st.sampled_from(VALUES)
        tests: list[Any] = [
            {"is": draw(value)},
            {"in": draw(st.lists(value, min_size=1, max_size=3))},
            {"at_least": draw(st.sampled_from((0, 1, 2.5, "2026")))},
        ]
        tests.append({"at_least": -3, "at_most": draw(st.sampled_from((-3, 0, 1)))})
        return {kind: {"name": draw(st.sampled_from(("tier", "spent"))), **draw(st.sampled_from(tests))}}
    if kind == "purchased":
        more: dict[str, Any] = draw(st.sampled_from(({}, {"amount_at_least": 9.99}, {"total_at_least": 20.01}, {"amount_at_least": 10, "currency": "EUR"})))
        return {kind: {**draw(st.sampled_from(({}, {"brand": "brew"}, {"brand": "page"}))), **draw(ranges(ledger, ago=False)), **more}}
    plain: dict[str, st.SearchStrategy[Any]] = {
        "language": st.sampled_from(("de", "en", "de-ch")),
        "consent": st.sampled_from(({"channel": "email"}, {"channel": "email", "purpose": "service"})),
        "campaign": st.sampled_from([{"key": "spring", "state": state} for state in (*STATES, "opened", "clicked")]),
        "list": st.sampled_from(LISTS),
        "audience": st.sampled_from(audiences or ("",)),
    }
    return {kind: draw(plain[kind])}


@st.composite
def rules(draw: st.DrawFn, ledger: Ledger, depth: int, audiences: tuple[str, ...] = ("inner",)) -> dict[str, Any]:
    kind = draw(st.sampled_from(("leaf", "all", "all", "any", "not"))) if depth > 1 else "leaf"
    if kind == "leaf":
        return draw(leaves(ledger, audiences))
    if kind == "not":
        return {"not": draw(rules(ledger, depth - 1, audiences))}
    return {kind: draw(st.lists(rules(ledger, depth - 1, audiences), min_size=1, max_size=3))}
