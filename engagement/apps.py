from django.apps import AppConfig

from engagement.celery import app as celery_app

__all__ = ["EngagementConfig", "celery_app"]  # whoever has Django has the tasks' application too


class EngagementConfig(AppConfig):
    name = "engagement"
    default_auto_field = "django.db.models.BigAutoField"
