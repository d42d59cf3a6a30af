"""The database backend's name for Django: ENGINE is `engagement.iam`."""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base

from engagement.iam import tokens


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        """Asked before each new connection, so none is made with a token that has run out."""
        params: dict[str, Any] = super().get_connection_params()
        params["password"] = tokens.token(host=params["host"], port=int(params.get("port") or 5432), user=params["user"], region=settings.AWS_REGION)
        return params
