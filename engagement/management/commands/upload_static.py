from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from storages.backends.s3 import S3Storage

FOR_EVER = "public, max-age=31536000, immutable"  # names hold their digest


class Command(BaseCommand):
    help = "Puts the collected files of this release (ATRIUM_STATIC) into the bucket STATIC_BUCKET. Those of earlier releases stay. Told again, it goes on."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        if not (settings.STATIC_BUCKET and settings.STATIC_ROOT):
            raise CommandError(_("Set STATIC_BUCKET, and ATRIUM_STATIC to the folder with the files of the release."))
        folder = Path(settings.STATIC_ROOT)
        bucket = S3Storage(bucket_name=settings.STATIC_BUCKET, location="static", default_acl=None, object_parameters={"CacheControl": FOR_EVER})
        there = _names(bucket, "")
        lacking = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and str(path.relative_to(folder)) not in there)
        for name in lacking:
            with (folder / name).open("rb") as content:
                bucket.save(name, File(content))
        self.stdout.write(ngettext("%(n)s file was uploaded.", "%(n)s files were uploaded.", len(lacking)) % {"n": len(lacking)})


def _names(bucket: S3Storage, folder: str) -> set[str]:
    folders, names = bucket.listdir(folder)
    found = {f"{folder}{name}" for name in names}
    for inner in folders:
        found |= _names(bucket, f"{folder}{inner}/")
    return found
