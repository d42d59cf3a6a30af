"""Every setting, read from the environment once. A wrong value stops the start with its name, the value seen and what is accepted."""

import os
import secrets
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from engagement import environment, metrics, postgres

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(environment.text("ATRIUM_VAR") or BASE_DIR / "var").resolve()
SHORTEST_KEY: Final = 20
NOT_STARTED: Final = "postgres://atrium@127.0.0.1:1/atrium"  # the embedded database has not run yet; nothing listens on port 1


def secret_key(*, debug: bool) -> str:
    """SECRET_KEY, or one made once and kept under ATRIUM_VAR where everything runs on this machine."""
    given = environment.text("SECRET_KEY")
    if given and len(given) < SHORTEST_KEY and not debug:
        raise ImproperlyConfigured(f"SECRET_KEY has {len(given)} characters. Give at least {SHORTEST_KEY} random ones.")
    if given:
        return given
    if environment.text("DATABASE_URL") and not debug:
        raise ImproperlyConfigured(
            f"SECRET_KEY is not set. Give at least {SHORTEST_KEY} random characters; it is required with a DATABASE_URL when DEBUG is off."
        )
    try:
        return kept_key(VAR / "secret_key")
    except OSError as error:
        raise ImproperlyConfigured(f"ATRIUM_VAR is {str(VAR)!r} ({error.strerror}). Give a folder that can be written.") from None


def kept_key(kept: Path) -> str:
    """The key in that file, made where there is none. Raises OSError where the folder cannot be used."""
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=kept.parent)  # readable by its owner alone
        with os.fdopen(handle, "w") as out:
            out.write(secrets.token_urlsafe(48))
        try:
            kept.hardlink_to(fresh)  # whole, and the first of several processes wins
        except FileExistsError:
            pass
        finally:
            Path(fresh).unlink()
    return kept.read_text()


def databases() -> dict[str, Any]:
    """The database of DATABASE_URL, else the embedded one (engagement.embedded keeps its address in ATRIUM_VAR/pg.url); and the readers' copy."""
    kept = VAR / "pg.url"
    url = environment.text("DATABASE_URL") or (kept.read_text() if kept.exists() else NOT_STARTED)
    found = {"default": environment.database("DATABASE_URL", url)}
    replica = environment.text("DATABASE_REPLICA_URL")
    if replica:
        found["replica"] = {**environment.database("DATABASE_REPLICA_URL", replica), "TEST": {"MIRROR": "default"}}
    return {name: {**one, "ENGINE": "engagement.iam"} for name, one in found.items()} if DATABASE_IAM else found


DEBUG = environment.flag("DEBUG", False)
SECRET_KEY = secret_key(debug=DEBUG)
ATRIUM_POSTGRES = environment.choice("ATRIUM_POSTGRES", "auto", postgres.CHOICES)
ATRIUM_STREAMS = environment.integer("ATRIUM_STREAMS", 1, 1, 64)  # a shard is the least that a process can have
STREAM_IDLE_S = environment.integer("ATRIUM_STREAM_IDLE_S", 15, 1, 3600)
WORK_IDLE_S = environment.integer("ATRIUM_WORK_IDLE_S", 120, 1, 3600)
HOST = environment.host("HOST", "127.0.0.1")
PORT = environment.integer("PORT", 8000, 1, 65535)
ATRIUM_URL = environment.public_address("ATRIUM_URL", HOST, PORT)
CERTIFICATES = environment.certificates("ATRIUM_CERTIFICATES", ATRIUM_URL)
# What mails link to is answered, whatever else is.
ALLOWED_HOSTS = [*environment.hosts("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]"), environment.host_of(ATRIUM_URL)]
EMBEDDED = not environment.text("DATABASE_URL")
AWS_REGION = environment.text("AWS_REGION") or environment.text("AWS_DEFAULT_REGION")
DATABASE_IAM = environment.by_role("DATABASE_IAM", region=AWS_REGION)
DATABASES = databases()
REPORTS_DATABASE = "replica" if "replica" in DATABASES else "default"
BROKER_URL = environment.broker("BROKER_URL")
BACKUP_URL = environment.place("BACKUP_URL", str(VAR / "backups") if EMBEDDED else "")
BROKER_QUEUES = environment.queues("BROKER_QUEUES")
BACKUP_URL = environment.place("BACKUP_URL", str(VAR / "backups") if EMBEDDED else "")
SLACK_WEBHOOK_URL = environment.webhook("SLACK_WEBHOOK_URL")
SLACK_BOT_TOKEN = environment.bot_token("SLACK_BOT_TOKEN")
SLACK_CHANNEL = environment.channel("SLACK_CHANNEL", needed_by="SLACK_BOT_TOKEN" if SLACK_BOT_TOKEN else "")
SLACK_API_URL = environment.trial_address("SLACK_API_URL")
OPERATORS_EMAIL = environment.mail_addresses("OPERATORS_EMAIL")
ATRIUM_RUNBOOK_URL = environment.page_address("ATRIUM_RUNBOOK_URL")
SNS_TOPIC_ARNS = environment.topics("SNS_TOPIC_ARNS")

# Mail: campaigns', and what Django itself sends (lost passwords), by one wire and under one governor.
MAIL_SERVER = environment.mail("EMAIL_URL", region=AWS_REGION)
MAIL_FOLDER = VAR / "mail"
MAIL_CONNECTIONS = environment.integer("ATRIUM_MAIL_CONNECTIONS", 8, 1, 64)
MAIL_TIMEOUT_S = environment.integer("ATRIUM_MAIL_TIMEOUT_S", 60, 1, 600)
SEND_RATE = environment.integer("ATRIUM_SEND_RATE", 0, 0, 100_000)  # 0: no limit of our own
SES_CONFIGURATION_SET = environment.text("SES_CONFIGURATION_SET")
INSTANCE = environment.text("ATRIUM_INSTANCE")  # which installation this is: a copy of its database elsewhere sends nothing
DEFAULT_FROM_EMAIL = (environment.mail_addresses("ATRIUM_MAIL_FROM") or [f"atrium@{environment.host_of(ATRIUM_URL)}"])[0]
EMAIL_BACKEND = "notifications.account_mail.Backend"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "engagement.urls"
WSGI_APPLICATION = "engagement.wsgi.application"
DEFAULT_EXCEPTION_REPORTER_FILTER = "engagement.error_pages.Filter"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

INSTALLED_APPS = [
    "engagement",  # before the theme, a template of which it replaces
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "engagement.admin_app.AtriumAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "analytics",
    "notifications",
    "operations",
]
MIDDLEWARE = [
    "engagement.traffic.watched",  # first: numbers and counts whatever the others answer
    "engagement.health.early",  # before all that look at the Host
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
STATIC_URL = "/static/"
# Pages' files are served from where they lie: nothing to collect, nothing to forget. A release brings them collected, under names that hold their digest.
STATIC_ROOT = environment.folder("ATRIUM_STATIC")
STATIC_BUCKET = environment.text("STATIC_BUCKET")  # where a release's files are put, for a content network to serve; see manage.py upload_static
WHITENOISE_USE_FINDERS = not STATIC_ROOT
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "engagement.static_files.Release" if STATIC_ROOT else "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# Behind a load balancer that speaks TLS for us, who sets X-Forwarded-Proto himself whatever a caller says.
if environment.flag("ATRIUM_BEHIND_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ATRIUM_URL.startswith("https://")
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SESSION_COOKIE_SECURE else 0

# The web admin. Nothing comes from another host. Its script library compiles expressions (unsafe-eval) and its theme is an inline style.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
UNFOLD = {
    "SITE_TITLE": "Atrium",
    "SITE_HEADER": "Atrium",
    "SITE_SUBHEADER": "engagement.site.subheader",
    "SITE_ICON": "engagement.site.mark",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "engagement.site.mark"}],
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            "50": "oklch(97.5% .012 220)",
            "100": "oklch(94.5% .025 220)",
            "200": "oklch(89% .05 220)",
            "300": "oklch(81% .085 220)",
            "400": "oklch(71% .11 220)",
            "500": "oklch(66% .11 221)",
            "600": "oklch(46.5% .085 222)",
            "700": "oklch(41% .075 223)",
            "800": "oklch(36% .065 224)",
            "900": "oklch(31% .055 225)",
            "950": "oklch(24% .045 226)",
        }
    },
    "STYLES": ["engagement.site.stylesheet"],
    "SCRIPTS": ["engagement.site.script"],
    "LOGIN": {"form": "engagement.site.LoginForm"},
    "SIDEBAR": {"show_search": False, "navigation": "engagement.navigation.groups"},
}

# What is counted, and who may read it from elsewhere.
METRICS = metrics.MODE
METRICS_FOLDER = VAR / "metrics"
METRICS_TOKEN = environment.secret("METRICS_TOKEN", SHORTEST_KEY)

# One line an entry, to the standard output. As `line`, whoever runs the process adds the time and its name.
LOG_FORMAT = environment.choice("LOG_FORMAT", "line", ("line", "json"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "engagement.logs.Line"}, "json": {"()": "engagement.logs.Json"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["console"], "level": environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))},
    # Refused requests are the callers' affair; the door and the API count them.
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # whoever tries hosts would fill the log with tracebacks
        # Two lines for each task that has nothing to do, or that came while the one before it was still at work, would hide what matters.
        **{name: {"level": "WARNING"} for name in ("celery.beat", "celery.worker.request", "celery.worker.strategy")},
        "celery.app.trace": {"level": "CRITICAL"},  # engagement.celery tells of a failure without the words of whoever failed
        # At DEBUG they would tell the addresses that they ask, which are secrets, and signatures.
        **{name: {"level": "INFO"} for name in ("slack_sdk", "urllib3", "boto3", "botocore", "asyncio")},
    },
}

# /api/v1. One authentication after the other: a key that is sent decides, also beside a session.
VERSION = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["engagement.access.KeyAuthentication", "engagement.access.MemberSession"],
    "DEFAULT_PERMISSION_CLASSES": ["engagement.access.MayLook"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "engagement.api.refuse",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Atrium",
    "DESCRIPTION": "Phones post events to the device door; your servers read stays and figures.",
    "VERSION": VERSION,
    "TAGS": [
        {"name": "device door", "description": "For apps."},
        {"name": "reading", "description": "For your servers."},
        {"name": "reports", "description": "Figures, and the places that they are of."},
        {"name": "audiences", "description": "Who meets a rule, counted, kept and listed."},
        {"name": "writing", "description": "For your servers."},
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "POSTPROCESSING_HOOKS": ["engagement.openapi.complete", "analytics.audiences_described.complete"],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # a test validates the document
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# The device door refuses while more than this waits for the stream: for all together (503), and for one organisation (429).
INBOX_EVENTS = environment.integer("ATRIUM_INBOX_EVENTS", 2_000_000, 1, 10**12)
INBOX_BYTES = environment.integer("ATRIUM_INBOX_BYTES", 1024**3, 1, 10**15)
INBOX_AGE_S = environment.integer("ATRIUM_INBOX_AGE_S", 900, 1, 10**9)
ORGANISATION_INBOX_EVENTS = environment.integer("ATRIUM_ORGANISATION_INBOX_EVENTS", max(1, INBOX_EVENTS // 2), 1, 10**12)
ORGANISATION_INBOX_BYTES = environment.integer("ATRIUM_ORGANISATION_INBOX_BYTES", max(1, INBOX_BYTES // 2), 1, 10**15)
ORGANISATION_INBOX_AGE_S = environment.integer("ATRIUM_ORGANISATION_INBOX_AGE_S", max(1, INBOX_AGE_S // 2), 1, 10**9)

# And while the database's disk has less than the reserve left. 0: three in a hundred of the volume, at least 64 MB and at most 2 GB.
DISK_BYTES = environment.integer("ATRIUM_DISK_BYTES", 0, 0, 10**16)  # of the database's volume, where it is not on this machine
DISK_RESERVE_MB = environment.integer("ATRIUM_DISK_RESERVE_MB", 0, 0, 10**9)
