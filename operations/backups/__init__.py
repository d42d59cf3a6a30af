"""Backups of an installation without AWS: made, kept, verified, brought back.

rotation.py    pure: which are kept
manifest.py    what a backup says of itself
place.py       a folder or a bucket
programs.py    pg_dump and pg_restore
databases.py   databases beside the one in use, and swapping them
making.py      one snapshot into the place
verifying.py   restored into a scratch database and compared
ledger.py      what people asked for since, kept beside the backups
replaying.py   that, applied to a database that was brought back
holding.py     what must not be told twice, held for a person
restoring.py   all of it in order
"""

from operations.backups.making import latest, make, names
from operations.backups.restoring import plan, restore
from operations.backups.verifying import verify

__all__ = ["latest", "make", "names", "plan", "restore", "verify"]
