"""Who has what: organisations, their members, brands and keys."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Organisation(models.Model):
    key = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    places_revision = models.PositiveIntegerField(default=0, editable=False)  # raised by each change of places; the stream reloads
    created_at = models.DateTimeField(auto_now_add=True)
    # Raw positions: how many days they are kept after they came, and the day before which some have been dropped. Stays and figures stay.
    raw_days = models.PositiveIntegerField(_("days that raw events are kept"), default=90, validators=[MinValueValidator(40), MaxValueValidator(3660)])
    raw_closed_before = models.DateField(null=True, editable=False)  # only engagement.retention moves it, and only forwards: history before it takes nothing in

    class Meta:
        # Longer than the 35 days that an event may be late, with room for the stays that such an event can touch.
        constraints = [models.CheckConstraint(condition=models.Q(raw_days__gte=40, raw_days__lte=3660), name="organisation_raw_days")]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")  # may change places and keys
    MARKETER = "marketer", _("Marketer")  # may look, and speak to shoppers
    ANALYST = "analyst", _("Analyst")  # may look


class Membership(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.ANALYST)
    # A brand's member sees the figures of the brand's stores, and nothing else of the organisation.
    brand = models.ForeignKey("Brand", on_delete=models.CASCADE, null=True, blank=True, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "organisation"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    def clean(self) -> None:
        if self.brand is not None and self.brand.organisation_id != self.organisation_id:
            raise ValidationError({"brand": _("This brand belongs to another organisation.")})


class Brand(models.Model):
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="brand_key")]

    def __str__(self) -> str:
        return self.name


class KeyKind(models.TextChoices):
    PUBLISHABLE = "publishable", _("Publishable: the app posts events")
    SECRET = "secret", _("Secret: a server reads and manages")
    IMPORT = "import", _("Import: posts events of any age, starts no message")


class ApiKey(models.Model):
    """Only the SHA-256 digest is kept: the token has 256 random bits, so a slow hash would add nothing but latency."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=16, choices=KeyKind.choices)
    prefix = models.CharField(max_length=16)  # the visible beginning of the token, to tell keys apart
    digest = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="api_key_name")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
