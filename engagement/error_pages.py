"""What Django's own pages of an error (only with DEBUG) and its reports may show of the settings."""

import re

from django.views.debug import SafeExceptionReporterFilter


class Filter(SafeExceptionReporterFilter):
    """Some addresses are secrets too: whoever knows the webhook's may write into the channel, and a broker's may hold a password."""

    hidden_settings = re.compile(SafeExceptionReporterFilter.hidden_settings.pattern + "|WEBHOOK|BROKER_URL", flags=re.IGNORECASE)
