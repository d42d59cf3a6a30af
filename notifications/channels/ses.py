"""Mail by the API of Amazon SES, version 2, by the instance's role. The default on AWS, where no key for SMTP may be kept."""

import contextlib
import logging
import re
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError
from django.conf import settings

from engagement.environment import MailServer
from notifications.channels.lines import Lines
from notifications.channels.wire import ForEver, ForNow, Limits, NotTold, Result, Sent, Unknown
from notifications.mail import Mail

logger = logging.getLogger("atrium.mail")

CONNECT_S: Final = 10.0
TAG: Final = "atrium-message"  # SES repeats it in every event of this mail
_MESSAGE: Final = re.compile(rb"^x-atrium-message:[ \t]*([0-9]{1,19})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_THROTTLED: Final = {"TooManyRequestsException", "ThrottlingException", "Throttling", "LimitExceededException", "RequestLimitExceeded"}
_OF_ALL: Final = {  # the account, its rights or its settings: each mail would meet the same
    "SendingPausedException", "AccountSuspendedException", "AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException",
    "InvalidClientTokenId", "SignatureDoesNotMatch", "MailFromDomainNotVerifiedException", "NotFoundException", "ConfigurationSetDoesNotExist",
}  # fmt: skip
# Of these botocore is certain that no connection was there.
_BEFORE: Final = (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyConnectionError)
_HANDSHAKE: Final = re.compile("certificate|handshake", re.IGNORECASE)


def client(region: str, *, connections: int = 1) -> Any:
    """botocore's own repetitions are off: a second try of something that may have left would send it twice."""
    timeouts = {"connect_timeout": CONNECT_S, "read_timeout": settings.MAIL_TIMEOUT_S}
    return boto3.client("sesv2", region_name=region, config=Config(retries={"total_max_attempts": 1}, max_pool_connections=connections, **timeouts))


class Api:
    """One line. The client is shared: it is safe for threads."""

    def __init__(self, shared: Any, configuration_set: str) -> None:
        self._client, self._configuration_set = shared, configuration_set

    def ready(self) -> Result | None:
        return None

    def send(self, mail: Mail) -> Result:
        try:
            answer = self._client.send_email(**self._asked(mail))
        except exceptions.ClientError as error:
            return _refused(error)
        except _BEFORE as error:
            return _not_reached(error)
        except exceptions.SSLError as error:  # while the connection was made, or later
            return _not_reached(error) if _HANDSHAKE.search(str(error)) else Unknown("No answer came: SSLError.")
        except (exceptions.HTTPClientError, ResponseParserError) as error:
            return Unknown(f"No answer came: {type(error).__name__}.")
        except exceptions.ParamValidationError:
            return ForEver("SES takes no such mail.")
        except exceptions.BotoCoreError as error:  # no credentials: there was nothing to sign it with
            return _not_reached(error)
        return Sent(str(answer.get("MessageId", ""))[:128])

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close()

    def _asked(self, mail: Mail) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "FromEmailAddress": mail.sender,
            "Destination": {"ToAddresses": [mail.recipient]},
            "Content": {"Raw": {"Data": mail.bytes_}},
        }
        if self._configuration_set:
            asked["ConfigurationSetName"] = self._configuration_set
        if found := _MESSAGE.search(mail.bytes_, 0, mail.bytes_.find(b"\r\n\r\n") + 2):
            asked["EmailTags"] = [{"Name": TAG, "Value": found[1].decode()}]
        return asked


def limits(server: MailServer) -> Limits:
    """As they are now. Raises NotTold. An account that is paused may send nothing: its quota is 0."""
    try:
        account = client(server.host).get_account()
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        failure = NotTold(type(error).__name__)
    else:
        told = account.get("SendQuota", {})
        quota = float(told.get("Max24HourSend", -1)) if account.get("SendingEnabled", True) else 0.0
        return Limits(rate=float(told.get("MaxSendRate", 1)), quota=quota, sent=float(told.get("SentLast24Hours", 0)))
    raise failure  # out of the except: what lies before it may quote the request


def _not_reached(error: Exception) -> ForNow:
    logger.error("SES is not reached (%s).", type(error).__name__)
    return ForNow(f"SES is not reached: {type(error).__name__}.", of_all=True)


def _refused(error: exceptions.ClientError) -> Result:
    code = str(error.response.get("Error", {}).get("Code", ""))[:60]
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLED or status == 429:
        return ForNow(code or "429", throttled=True)
    if code in _OF_ALL or status in (401, 403):
        logger.error("SES takes no mail of this account now (%s).", code or status)
        return ForNow(code or str(status), of_all=True)
    if status >= 500:
        return Unknown(code or str(status))  # it may have been taken before this went wrong
    return ForEver(code or str(status))


def from_settings(server: MailServer) -> Lines:
    shared = client(server.host, connections=settings.MAIL_CONNECTIONS)
    return Lines(lambda: Api(shared, settings.SES_CONFIGURATION_SET), settings.MAIL_CONNECTIONS)
