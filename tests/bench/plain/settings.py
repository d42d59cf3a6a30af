from engagement.settings import *  # noqa: F403
from engagement.settings import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.bench.plain.apps.PlainConfig"]
ROOT_URLCONF = "tests.bench.plain.urls"
