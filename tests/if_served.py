"""Run a command if a server listens at a URL; otherwise print that it is skipped, and exit with 0.

Usage: python tests/if_served.py URL COMMAND…
"""

from __future__ import annotations

import socket
import subprocess
import sys
from urllib.parse import urlsplit

PORTS = {"postgres": 5432, "mysql": 3306, "redis": 6379}


def main(url: str, *command: str) -> int:
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme])
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError as error:
        print(f"skipped: there is no {parts.scheme} server at {address[0]}:{address[1]} ({error})")
        return 0
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
