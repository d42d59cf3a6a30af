"""Pages' files of a release: collected once, under names that hold their digest, so that two releases can be served at the same time and be cached for ever."""

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class Release(ManifestStaticFilesStorage):
    """Also of what modules import: else a cached module of the last release would load one of this."""

    support_js_module_import_aggregation = True
