"""Packages that only some settings need, looked for before anything begins."""

from __future__ import annotations

import importlib.util

from figtune.core.errors import ResourceError


def require(package: str, needed_by: str, requirements: str) -> None:
    """See that a package is installed, without importing it.

    Args:
        needed_by: the flag that asks for it.
        requirements: the file that pip installs it from.

    Raises:
        ResourceError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ResourceError(
            f"{needed_by} needs the package {package}", f"install it with: pip install -r {requirements}"
        )
