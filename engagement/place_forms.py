"""Forms that change places and make keys. Places are changed through provisioning alone: it keeps versions and orders re-cuts."""

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from engagement import provisioning
from engagement.models import ApiKey, Brand, Organisation, Venue, Zone, ZoneKind, ZoneVersion

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
                for fault in refused.faults:
                    self.add_error(self._field_of(fault.place), fault.message)
        return cleaned

    def _field_of(self, place: str) -> str | None:
        """`zones[0].boundary.coordinates[0][3]` speaks of the boundary."""
        parts = place.split(".")
        name = parts[1].partition("[")[0] if len(parts) > 1 else ""
        return name if name in self.fields else None

    def provision(self, *, dry_run: bool = False) -> None:
        provisioning.provision({"organisation": {"key": self.organisation.key}, **self.document()}, dry_run=dry_run)


class BrandForm(ProvisionedForm):
    class Meta:
        model = Brand
        fields = ["name"]
        widgets = {"name": UnfoldAdminTextInputWidget()}

    def document(self) -> dict[str, Any]:
        return {"brands": [{"key": self.instance.key, "name": self.cleaned_data["name"]}]}


class VenueForm(ProvisionedForm):
    class Meta:
        model = Venue
        fields = ["name", "time_zone"]
        widgets = {"name": UnfoldAdminTextInputWidget(), "time_zone": UnfoldAdminTextInputWidget()}
        help_texts = {"time_zone": _("IANA name, such as Africa/Johannesburg. Days and weeks of every figure are those of this time zone.")}

    def document(self) -> dict[str, Any]:
        return {"venues": [{"key": self.instance.key, **{name: self.cleaned_data[name] for name in ("name", "time_zone")}}]}


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
