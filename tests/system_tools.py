"""Programs of the system that some tests need; without one they fail and name its package."""

import os
import shutil

import pytest

# Where Debian has programs of administrators, which other users do not search.
PATH = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


def system_tool(*names: str, package: str) -> str:
    """Return the path of a program that has one of these names."""
    found = next((path for name in names if (path := shutil.which(name, path=PATH))), None)
    if found is None:
        pytest.fail(f"{names[0]} is not installed; on Debian: apt-get install {package}")
    return found
