"""The settings, with a data folder that the tests may throw away."""

import os
import tempfile

os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="threephase-tests-")

from config.settings import *  # noqa: F403
