"""Lists of shoppers."""

from typing import Final

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from engagement.models import Organisation, ShopperList

TRIES: Final = 100


def make(organisation: Organisation, name: str) -> ShopperList:
    """A list of this name, with a key of its own. Raises IntegrityError where a hundred have the like already."""
    base = slugify(name)[:60] or "list"
    for number in range(1, TRIES + 1):
        key = base if number == 1 else f"{base}-{number}"
        if ShopperList.objects.filter(organisation=organisation, key=key).exists():
            continue
        try:
            with transaction.atomic():
                return ShopperList.objects.create(organisation=organisation, key=key, name=name)
        except IntegrityError:  # somebody was quicker
            continue
    raise IntegrityError("no key is left for this list")
