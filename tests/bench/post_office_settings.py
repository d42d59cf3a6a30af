"""The product's settings with django-post_office beside it, which sends by Django's own SMTP."""

from engagement.settings import *  # noqa: F403
from engagement.settings import INSTALLED_APPS, MAIL_SERVER

INSTALLED_APPS = [*INSTALLED_APPS, "post_office"]
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST, EMAIL_PORT = MAIL_SERVER.host, MAIL_SERVER.port
POST_OFFICE = {"BACKENDS": {"default": EMAIL_BACKEND}, "BATCH_SIZE": 1_000, "MESSAGE_ID_ENABLED": False, "LOG_LEVEL": 0}
