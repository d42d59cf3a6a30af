"""Settings that an installation on AWS keeps there: read once, by the machine's role, before any other setting.

ATRIUM_PARAMETERS is a path of the Systems Manager's parameter store; every parameter under it is a setting, named by the end of its own path. ATRIUM_SECRETS
is the name of a secret in Secrets Manager that holds a JSON object of settings. What the environment says itself wins, so that one machine can differ.
A setting that cannot be had stops the start: half a configuration would be worse than none.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_PATH: Final = re.compile(r"(/[A-Za-z0-9_.-]+)+")
_TRIES: Final = {"max_attempts": 5, "mode": "standard"}  # many machines start at once, and the store answers forty requests a second


def load() -> None:
    """Put into the environment what AWS keeps, where this installation says that it does."""
    path, secret = os.environ.get("ATRIUM_PARAMETERS", ""), os.environ.get("ATRIUM_SECRETS", "")
    if path and not _PATH.fullmatch(path):
        raise ImproperlyConfigured(f"ATRIUM_PARAMETERS is {path!r}. Give a path of the parameter store, as /atrium/prod.")
    for name, value in ({**_parameters(path), **_secrets(secret)} if path or secret else {}).items():
        os.environ.setdefault(name, value)


def _parameters(path: str) -> dict[str, str]:
    if not path:
        return {}
    pages = _ask("ATRIUM_PARAMETERS", "ssm", lambda client: list(client.get_paginator("get_parameters_by_path").paginate(Path=path, WithDecryption=True)))
    found = {one["Name"].rpartition("/")[2]: one["Value"] for page in pages for one in page["Parameters"]}
    if not found:
        raise ImproperlyConfigured(f"ATRIUM_PARAMETERS is {path!r}, and there is nothing under it. Deploy the parameters first, or name another path.")
    return _checked("ATRIUM_PARAMETERS", found)


def _secrets(name: str) -> dict[str, str]:
    if not name:
        return {}
    told = _ask("ATRIUM_SECRETS", "secretsmanager", lambda client: client.get_secret_value(SecretId=name)["SecretString"])
    try:
        found = json.loads(told)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ImproperlyConfigured('ATRIUM_SECRETS names a secret that is no JSON object of texts. Store it as {"SECRET_KEY": "…"}.')
    return _checked("ATRIUM_SECRETS", found)


def _checked(setting: str, found: Mapping[str, str]) -> dict[str, str]:
    wrong = sorted(name for name in found if not _NAME.fullmatch(name))
    if wrong:
        raise ImproperlyConfigured(f"{setting} holds {wrong[0]!r}, which is no name of a setting. Names are capitals, digits and underscores.")
    return dict(found)


def _ask(setting: str, service: str, question: Any) -> Any:
    import boto3  # here: a second of every start, where nothing is kept on AWS
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return question(boto3.client(service, config=Config(retries=_TRIES, connect_timeout=3, read_timeout=5)))
    except ClientError as error:
        why = error.response.get("Error", {}).get("Code", "no reason")
    except BotoCoreError as error:
        why = type(error).__name__
    raise ImproperlyConfigured(f"{setting} is set, and AWS did not answer ({why}). Look at the role of this machine, its network and AWS_REGION.")
