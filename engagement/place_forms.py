"""Forms that change places and make keys. Places are changed through provisioning alone: it keeps versions and orders re-cuts."""

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from engagement import opening, provisioning
from engagement.models import ApiKey, Brand, Organisation, Venue, Zone, ZoneKind, ZoneVersion

TIMES: Final = _("Write 09:00-21:00, or 09:00-12:30, 13:30-21:00. Empty: closed. An end before its beginning lies on the next day.")
THRESHOLDS: Final = ("exit_grace_s", "min_stay_s", "max_accuracy_m", "enter_rssi", "hold_rssi")


class ProvisionedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Asks provisioning whether the change is right, and shows its answer beside the field that it speaks of."""

    organisation: Organisation  # of the reader

    def document(self) -> dict[str, Any]:
        """The part of a provision file that says what the form says."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self.provision(dry_run=True)
            except provisioning.Refused as refused:
                for field, sentence in dict.fromkeys((self._field_of(fault.place), self._sentence(fault)) for fault in refused.faults):
                    self.add_error(field, sentence)
        return cleaned

    def _field_of(self, place: str) -> str | None:
        """`zones[0].boundary.coordinates[0][3]` speaks of the boundary."""
        parts = place.split(".")
        name = parts[1].partition("[")[0] if len(parts) > 1 else ""
        return name if name in self.fields else None

    def _sentence(self, fault: provisioning.Fault) -> str:
        return fault.message

    def provision(self, *, dry_run: bool = False) -> None:
        provisioning.provision({"organisation": {"key": self.organisation.key}, **self.document()}, dry_run=dry_run)


class BrandForm(ProvisionedForm):
    class Meta:
        model = Brand
        fields = ["name"]
        widgets = {"name": UnfoldAdminTextInputWidget()}

    def document(self) -> dict[str, Any]:
        return {"brands": [{"key": self.instance.key, "name": self.cleaned_data["name"]}]}


class _OpenTimes(forms.CharField):
    """`09:00-12:30, 13:30-21:00`, as a list of open times; empty is closed."""

    def to_python(self, value: Any) -> Any:
        try:
            return open_times(super().to_python(value) or "")
        except ValueError:
            raise forms.ValidationError(TIMES) from None


class _Exceptions(forms.CharField):
    """A line for each date: `2026-12-24 09:00-14:00`, `2026-12-25 closed`."""

    def to_python(self, value: Any) -> Any:
        found: dict[str, Any] = {}
        for line in filter(None, map(str.strip, (super().to_python(value) or "").splitlines())):
            name, *rest = line.split(maxsplit=1)
            if name in found:
                raise forms.ValidationError(_("%(date)s stands there twice.") % {"date": name})
            try:
                found[name] = open_times(rest[0]) if rest else None
            except ValueError:
                found[name] = None
            if found[name] is None:
                raise forms.ValidationError(_("“%(line)s” cannot be read. Write a date and its open times, or “closed”.") % {"line": line[:80]})
        return found


def open_times(text: str) -> list[list[str]]:
    """Of a day, as people write them. Raises ValueError."""
    return [] if text.strip().lower() in {"closed", _("closed").lower()} else opening.understood(text)


class VenueForm(ProvisionedForm):
    always_open = forms.BooleanField(
        label=_("Always open"), required=False, widget=UnfoldBooleanSwitchWidget(), help_text=_("The days below do not count then.")
    )
    mon = _OpenTimes(label=_("Monday"), required=False, widget=UnfoldAdminTextInputWidget(), help_text=TIMES)
    tue = _OpenTimes(label=_("Tuesday"), required=False, widget=UnfoldAdminTextInputWidget())
    wed = _OpenTimes(label=_("Wednesday"), required=False, widget=UnfoldAdminTextInputWidget())
    thu = _OpenTimes(label=_("Thursday"), required=False, widget=UnfoldAdminTextInputWidget())
    fri = _OpenTimes(label=_("Friday"), required=False, widget=UnfoldAdminTextInputWidget())
    sat = _OpenTimes(label=_("Saturday"), required=False, widget=UnfoldAdminTextInputWidget())
    sun = _OpenTimes(label=_("Sunday"), required=False, widget=UnfoldAdminTextInputWidget())
    exceptions = _Exceptions(
        label=_("Single dates"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("A line for each date that is unlike its weekday: 2026-12-24 09:00-14:00, or 2026-12-25 closed."),
    )

    class Meta:
        model = Venue
        fields = ["name", "time_zone"]
        widgets = {"name": UnfoldAdminTextInputWidget(), "time_zone": UnfoldAdminTextInputWidget()}
        help_texts = {"time_zone": _("IANA name, such as Africa/Johannesburg. Days and weeks of every figure are those of this time zone.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hours = self.instance.opening_hours
        single = (hours or {}).get(opening.EXCEPTIONS, {})
        self.initial["always_open"] = hours is None
        self.initial.update({day: opening.written((hours or {}).get(day, [])) for day in opening.WEEKDAYS})
        self.initial[opening.EXCEPTIONS] = "\n".join(f"{name} {opening.written(listed) or _('closed')}" for name, listed in single.items())

    def document(self) -> dict[str, Any]:
        said = {name: self.cleaned_data[name] for name in ("name", "time_zone")}
        hours = {name: self.cleaned_data[name] for name in (*opening.WEEKDAYS, opening.EXCEPTIONS)}
        return {"venues": [{"key": self.instance.key, **said, "opening_hours": None if self.cleaned_data["always_open"] else hours}]}

    def _field_of(self, place: str) -> str | None:
        """`venues[0].opening_hours.mon[0][1]` speaks of Monday."""
        head, found, below = place.partition(".opening_hours.")
        return super()._field_of(f"{head}.{below}" if found else place)

    def _sentence(self, fault: provisioning.Fault) -> str:
        """Of several dates in one box: with the date that it speaks of."""
        _head, found, below = fault.place.partition(f".{opening.EXCEPTIONS}.")
        return f"{below.partition('[')[0]}: {fault.message}" if found else fault.message


class _Boundary(forms.JSONField):
    """Shows no boundary as an empty box, not as JSON's word for it."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class ZoneForm(ProvisionedForm):
    exit_grace_s = forms.IntegerField(
        label=_("Exit grace, s"), widget=UnfoldAdminIntegerFieldWidget(), help_text=_("A stay goes on over a gap of at most this.")
    )
    min_stay_s = forms.IntegerField(label=_("Minimum stay, s"), widget=UnfoldAdminIntegerFieldWidget(), help_text=_("A shorter stay is a pass-by."))
    max_accuracy_m = forms.FloatField(
        label=_("Coarsest fix, m"), widget=UnfoldAdminDecimalFieldWidget(), help_text=_("A fix less accurate than this says nothing about the zone.")
    )
    enter_rssi = forms.IntegerField(
        label=_("Enter at, dBm"), widget=UnfoldAdminIntegerFieldWidget(), help_text=_("A beacon at least this strong opens a stay.")
    )
    hold_rssi = forms.IntegerField(label=_("Hold at, dBm"), widget=UnfoldAdminIntegerFieldWidget(), help_text=_("A beacon at least this strong keeps it up."))
    boundary = _Boundary(
        label=_("Boundary"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "class": "boundary"}),
        help_text=_("A GeoJSON polygon, longitude first. Empty: beacons alone place people here."),
    )

    class Meta:
        model = Zone
        fields = ["name"]
        widgets = {"name": UnfoldAdminTextInputWidget()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = ZoneVersion.objects.filter(zone=self.instance, valid_to=None).first() if self.instance.pk else None
        if current is not None:
            self.initial.update({name: getattr(current, name) for name in (*THRESHOLDS, "boundary")})

    def document(self) -> dict[str, Any]:
        said = {name: self.cleaned_data[name] for name in (*THRESHOLDS, "boundary", "name") if name in self.changed_data}
        # A venue's root zone is spoken of as the venue.
        section = "venues" if self.instance.kind == ZoneKind.VENUE else "zones"
        return {section: [{"key": self.instance.key, **said}]}


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]
    organisation: Organisation

    class Meta:
        model = ApiKey
        fields = ["name", "kind"]
        help_texts = {
            "name": _("Says where the key is used, such as “iPhone app” or “data warehouse”."),
            "kind": _(
                "A publishable key sits in an app and may only post events: assume that others know it. A secret key belongs on a server:"
                " it reads everything. An import key posts events of any age and starts no message."
            ),
        }

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if ApiKey.objects.filter(organisation=self.organisation, name=name).exists():
            raise forms.ValidationError(_("There is a key of this name. A revoked one keeps its name, so that the record stays clear."))
        return name
