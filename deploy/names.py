"""Every name and number that the application and its infrastructure share. Pure, of the standard library: tests of both sides read it.

`{}` in a name stands for the environment: dev, qa, prod.
"""

from dataclasses import dataclass
from typing import Final

PROJECT: Final = "atrium"
LIVE: Final = "/healthz/live"  # touches nothing: a database that fails over must not cost a web server
READY: Final = "/healthz/ready"
FEEDBACK: Final = "/v1/feedback/ses"  # Django's, though it lies under the door's path
DOOR: Final = "/v1/*"
STATIC: Final = "/static/*"
ORIGIN_HEADER: Final = "X-Atrium-Origin"  # what only CloudFront sends
KEEP_ALIVE_S: Final = 75  # of the web server; longer than the load balancer's IDLE_S, or answers get lost now and then
IDLE_S: Final = 60
DATABASE_PORT: Final = 5433  # not the one that every scanner tries
DATABASE_NAME: Final = "atrium"
DATABASE_MASTER: Final = "atrium_master"  # used by people at the first deployment; its password is a secret that nothing at run time reads
DATABASE_ROLE: Final = "atrium_app"  # the application's: enters by tokens of the instance's role, has no password


@dataclass(frozen=True)
class Queue:
    """A queue of Celery; `name` as Celery routes to it. A message that was taken and not confirmed is seen again after `visible_again_s`."""

    name: str
    visible_again_s: int = 300  # messages are confirmed when they are taken, before the work: no task is too long for it


QUEUES: Final = (Queue("atrium"), Queue("sending"))
QUEUE_PREFIX: Final = "atrium-{}-"
RECEIVED_AT_MOST: Final = 10  # then a message waits in the dead-letter queue


@dataclass(frozen=True)
class Role:
    """A kind of machine: the processes on it, the port that the load balancer asks at, and how many connections each machine may hold to the database."""

    name: str
    processes: tuple[str, ...]
    connections: int
    port: int | None = None
    only_one: bool = False


# Connections: on web two servers, each with 8 threads of Django's bridge and the door's one; a stream 3; a worker of Celery its 2 threads and its own.
ROLES: Final = (
    Role("web", ("web",), connections=20, port=8000),
    Role("door", ("door",), connections=8, port=8001),
    Role("stream", ("stream", "figures"), connections=10),
    Role("worker", ("worker", "sender"), connections=12),
    Role("scheduler", ("scheduler", "watch"), connections=8, only_one=True),
)
# Connections that belong to no machine: people, the migration, RDS itself.
CONNECTIONS_BESIDE: Final = 15

REFRESH_MOST: Final = 150  # per cent of a group, while a release replaces it: launched first, then ended

# In /etc/atrium/environment on a machine; everything else is a parameter or a secret, read by the machine's role (engagement's settings know the names).
MACHINE_SETTINGS: Final = ("AWS_REGION", "ATRIUM_PARAMETERS", "ATRIUM_SECRETS", "ATRIUM_STATIC", "ATRIUM_VAR", "HOST", "PORT")
# What boot.sh is told by the launch; with the role as its argument it makes the machine's settings of it.
BOOT_SETTINGS: Final = ("ATRIUM_ENVIRONMENT", "AWS_REGION", "ATRIUM_RELEASE_AT", "ATRIUM_GROUP", "ATRIUM_HOOK", "ATRIUM_FILES", "ATRIUM_FILES_ENTRY")
PARAMETERS_PATH: Final = "/atrium/{}"
PARAMETERS: Final = (
    "ALLOWED_HOSTS",
    "ATRIUM_BEHIND_PROXY",
    "ATRIUM_INSTANCE",
    "ATRIUM_MAIL_FROM",
    "ATRIUM_URL",
    "BROKER_QUEUES",
    "BROKER_URL",
    "DATABASE_IAM",
    "DATABASE_URL",
    "EMAIL_URL",
    "LOG_FORMAT",
    "METRICS",
    "SES_CONFIGURATION_SET",
    "SNS_TOPIC_ARNS",
    "STATIC_BUCKET",
)
READER_PARAMETERS: Final = ("DATABASE_REPLICA_URL",)  # where the environment has a reader
SECRET: Final = "atrium-{}-settings"  # noqa: S105 (a name)
SECRETS: Final = ("SECRET_KEY",)  # made with the stack; SLACK_WEBHOOK_URL is added by hand, where the application itself is to tell Slack
SLACK_SECRET: Final = "atrium-{}-slack"  # noqa: S105 (a name)
CERTIFICATES: Final = "/opt/atrium/rds.pem"  # Amazon's, of the release

# Where things lie on a machine.
HOME: Final = "/opt/atrium"
CURRENT: Final = "/opt/atrium/current"
VAR: Final = "/var/lib/atrium"
SHARED: Final = "/srv/atrium"  # the file system that all machines see
USER_ID: Final = 1500
RELEASES: Final = "releases"  # in the bucket of artifacts: releases/<release>/atrium.tar.gz and boot.sh

BUCKETS: Final = {name: f"atrium-{{}}-{name}" for name in ("artifacts", "files", "static")}  # the account and the region follow
DOCUMENTS: Final = {"migrate": "atrium-{}-migrate", "drain": "atrium-{}-drain"}
GROUP: Final = "atrium-{}-{role}"
HOOK: Final = "drain"
DRAIN_S: Final = 300  # so long may a machine finish its work
LOGS: Final = "/atrium/{}/{role}"
METRICS: Final = "Atrium"  # the namespace in CloudWatch
TOPICS: Final = {"alerts": "atrium-{}-alerts", "feedback": "atrium-{}-feedback"}
REPAIRS: Final = ("disk", "volume", "machine", "storage")
SWITCHES: Final = "/atrium-{}/repairs"  # beside the application's settings, not among them
VAULT: Final = "atrium-{}"
COPIES: Final = "atrium-{}-copies"
ORIGIN: Final = "origin"  # the name under the domain that the load balancer answers to

# Every alarm: its name after atrium-<environment>-, which is also its heading in README.md.
ALARMS: Final = (
    "web-errors",
    "door-errors",
    "load-balancer-errors",
    "web-slow",
    "web-unhealthy",
    "door-unhealthy",
    "database-cpu",
    "database-storage",
    "database-connections",
    "database-memory",
    "replica-lag",
    "disk-full",
    "queue-old",
    "dead-letters",
    "mail-bounces",
    "mail-complaints",
    "volume-busy",
    "machine-sick",
    "repair-dead-letters",
    "slack-failing",
    "slack-dead-letters",
    "alerts-undelivered",
    "machines-missing",
    "watch-silent",
)
ALARM: Final = "atrium-{}-{name}"


def of(name: str, environment: str, /, **more: str) -> str:
    """A name of this table, in an environment."""
    return name.replace("{}", environment).format(**more)
