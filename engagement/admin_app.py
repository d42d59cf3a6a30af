"""Makes Atrium's own admin site the default one. A module of its own: Django takes each class of apps.py for the app's own configuration."""

from django.contrib.admin.apps import AdminConfig


class AtriumAdminConfig(AdminConfig):
    default_site = "engagement.site.AtriumSite"
