"""Every setting, read from the environment once. A wrong value stops the start with its name, the value seen and what is accepted."""

import os
import secrets
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("ATRIUM_VAR") or BASE_DIR / "var").resolve()
env = environ.Env()


def integer(name: str, default: int, low: int, high: int) -> int:
    seen = os.environ.get(name) or str(default)
    if not seen.isdecimal() or not low <= int(seen) <= high:
        raise ImproperlyConfigured(f"{name} is {seen!r}. Give a whole number from {low} to {high}.")
    return int(seen)


def flag(name: str, default: bool) -> bool:
    seen = (os.environ.get(name) or str(default)).lower()
    if seen not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ImproperlyConfigured(f"{name} is {seen!r}. Give 1 or 0.")
    return seen in {"1", "true", "yes", "on"}


def secret_key(debug: bool) -> str:
    """SECRET_KEY, or one made once and kept under ATRIUM_VAR where everything runs on this machine."""
    given = os.environ.get("SECRET_KEY", "")
    if given:
        return given
    if os.environ.get("DATABASE_URL") and not debug:
        raise ImproperlyConfigured("SECRET_KEY is not set. Give a long random text; it is required with a DATABASE_URL when DEBUG is off.")
    kept = VAR / "secret_key"
    if not kept.exists():
        VAR.mkdir(parents=True, exist_ok=True)
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(48))
    return kept.read_text()


def database() -> dict[str, Any]:
    """The database of DATABASE_URL, else the embedded one (engagement.embedded keeps its address in ATRIUM_VAR/pg.url)."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        kept = VAR / "pg.url"
        url = kept.read_text().strip() if kept.exists() else "postgres://atrium@127.0.0.1:1/atrium"
    if not url.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured("DATABASE_URL has another form than postgres://user:password@host:port/name.")
    return {**env.db_url_config(url), "OPTIONS": {"connect_timeout": 5}, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


DEBUG = flag("DEBUG", False)
SECRET_KEY = secret_key(DEBUG)
HOST = os.environ.get("HOST") or "127.0.0.1"
PORT = integer("PORT", 8000, 1, 65535)
ALLOWED_HOSTS = [host for host in os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",") if host]
DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "engagement.urls"
WSGI_APPLICATION = "engagement.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "engagement",
    "analytics",
    "notifications",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
STATIC_ROOT = VAR / "static"
