"""A ``SECRET_KEY`` for development, made on this machine and kept in a file."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def kept_secret_key(path: Path) -> str:
    """Return the key in ``path``; the first call creates it, readable by its owner only.

    All processes of a site share it: what one of them signs (sessions, django-q2's messages), the
    others must read.

    Args:
        path: The file of the key, in a directory that exists.
    """
    if not path.exists():
        with NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            with suppress(FileExistsError):  # another process was first
                os.link(file.name, path)
    return path.read_text().strip()
