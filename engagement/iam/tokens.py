"""Tokens in place of a password. Signed on this machine; only the role's own keys are asked for, and boto3 keeps those fresh by itself."""

import threading
import time
from typing import Any, Final

USED_FOR_S: Final = 600.0  # RDS takes a token for 900 s; a connection that is open stays open

_kept: dict[tuple[str, int, str], tuple[float, str]] = {}
_lock = threading.Lock()
_clients: dict[str, Any] = {}


def token(*, host: str, port: int, user: str, region: str) -> str:
    """What RDS takes as the password of `user` now. Raises botocore's exceptions where the machine has no role."""
    key = (host, port, user)
    with _lock:
        until, known = _kept.get(key, (0.0, ""))
        if time.monotonic() >= until:
            known = _sign(host, port, user, region)
            _kept[key] = (time.monotonic() + USED_FOR_S, known)
        return known


def _sign(host: str, port: int, user: str, region: str) -> str:
    if region not in _clients:
        import boto3  # here: half a second of every start that does not need it

        _clients[region] = boto3.client("rds", region_name=region)
    signed: str = _clients[region].generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user, Region=region)
    return signed
