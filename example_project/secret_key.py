"""A key for development that nobody else knows."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def kept_secret_key(path: Path) -> str:
    """Return the key in ``path``; the first that asks makes it, readable by its owner only.

    All processes of a site share it: what one signs, sessions and messages of django-q2, the others
    read.
    """
    if not path.exists():
        with NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            with suppress(FileExistsError):  # another process was first
                os.link(file.name, path)
    return path.read_text().strip()
