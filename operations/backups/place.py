"""Where backups are kept: a folder, or a bucket. A file is there whole or not at all, and readable by its owner alone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from storages.backends.s3 import S3Storage

from operations.backups.trouble import Trouble

PIECE: Final = 1024 * 1024
PART: Final = 32 * PIECE  # of an upload: a bucket takes 10,000 of them
_GONE: Final = ("404", "NoSuchKey")


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Place(Protocol):
    """Paths are relative, with a slash between folder and file."""

    shown: str

    def files(self) -> list[str]: ...

    def write(self, path: str, source: Source) -> None:
        """As a stream. Where the source raises, nothing is left."""

    def read(self, path: str) -> bytes | None:
        """A small file; None where it is not there."""

    def fetch(self, path: str, into: Path) -> Path:
        """A file of this machine with its content: itself, or a copy in the folder `into`."""

    def remove(self, path: str) -> None: ...


class Folder:
    def __init__(self, folder: Path) -> None:
        self.folder, self.shown = folder, str(folder)

    def files(self) -> list[str]:
        with _told(self.shown):
            found = [path for path in self.folder.rglob("*") if path.is_file()] if self.folder.exists() else []
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def write(self, path: str, source: Source) -> None:
        target = self.folder / path
        fresh = target.with_name(target.name + ".new")
        with _told(self.shown):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                fresh.unlink(missing_ok=True)
                with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                    shutil.copyfileobj(source, out, PIECE)
                    out.flush()
                    os.fsync(out.fileno())
                fresh.rename(target)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            _sync(target.parent)
            _sync(self.folder)

    def read(self, path: str) -> bytes | None:
        with _told(self.shown):
            try:
                return (self.folder / path).read_bytes()
            except FileNotFoundError:
                return None

    def fetch(self, path: str, into: Path) -> Path:
        return self.folder / path

    def remove(self, path: str) -> None:
        target = self.folder / path
        with _told(self.shown):
            target.unlink(missing_ok=True)
            if target.parent != self.folder and not any(target.parent.iterdir()):
                target.parent.rmdir()


class Bucket:
    """Through django-storages, with the machine's own credentials. An upload that fails is aborted, and leaves no object."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.shown = f"s3://{bucket}/{prefix}".rstrip("/")
        self._storage = S3Storage(bucket_name=bucket, location=prefix, default_acl=None, querystring_auth=False, file_overwrite=True)
        self._prefix = f"{prefix}/" if prefix else ""

    def files(self) -> list[str]:
        with _told(self.shown):
            return sorted(str(found.key).removeprefix(self._prefix) for found in self._bucket.objects.filter(Prefix=self._prefix))

    def write(self, path: str, source: Source) -> None:
        with _told(self.shown):
            self._bucket.Object(self._prefix + path).upload_fileobj(source, Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART))

    def read(self, path: str) -> bytes | None:
        with _told(self.shown):
            try:
                return bytes(self._bucket.Object(self._prefix + path).get()["Body"].read())
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _GONE:
                    return None
                raise

    def fetch(self, path: str, into: Path) -> Path:
        copy = into / path.replace("/", "-")
        with _told(self.shown):
            self._bucket.Object(self._prefix + path).download_file(str(copy))
        return copy

    def remove(self, path: str) -> None:
        with _told(self.shown):
            self._bucket.Object(self._prefix + path).delete()

    @property
    def _bucket(self) -> Any:
        return self._storage.bucket


def usual() -> Place | None:
    """That of BACKUP_URL; None where it says nothing and the database is not the embedded one."""
    return of(settings.BACKUP_URL) if settings.BACKUP_URL else None


def of(where: str) -> Place:
    """A folder, or s3://bucket/prefix."""
    if where.startswith("s3://"):
        bucket, _, prefix = where.removeprefix("s3://").partition("/")
        return Bucket(bucket, prefix.strip("/"))
    return Folder(Path(where).expanduser().resolve())


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Whatever the place says, as Trouble. Keys and signatures are in none of these texts."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        raise Trouble(f"The place for backups {where} refused: {said.get('Code', 'unknown')} {said.get('Message', '')}".strip()) from error
    except (BotoCoreError, Boto3Error) as error:
        raise Trouble(f"The place for backups {where} cannot be used: {error}") from error
    except OSError as error:
        raise Trouble(f"The place for backups {where} cannot be used: {error.strerror or error}.") from error


def _sync(folder: Path) -> None:
    """A new name outlives a power cut only when its folder is written too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
