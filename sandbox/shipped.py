"""Where the folders shipped with the package lie."""

from pathlib import Path

__all__ = ["IMAGES", "POLICIES", "RUNNERS"]


def _home() -> Path:
    """Give the folder that holds them: the package in a wheel, its parent in a checkout."""
    package = Path(__file__).resolve().parent
    return package if (package / "runners").is_dir() else package.parent


RUNNERS = _home() / "runners"
"""The programs of the guest side, run as a folder by ``python -I -S``."""
POLICIES = _home() / "policies"
"""The policy documents and the system-call lists."""
IMAGES = _home() / "images"
"""What containers are made of, a folder for each image."""
