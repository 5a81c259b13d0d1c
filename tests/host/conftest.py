"""The tests in suite/ need the settings of another project: test_other_project.py runs them."""

from django.conf import settings

collect_ignore = [] if settings.ROOT_URLCONF == "tests.host.urls" else ["suite"]
