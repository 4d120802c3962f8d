"""``manage.py octovid_sandbox``: a sandbox gateway on loopback, for demos."""

from __future__ import annotations

import json
import shlex
import signal
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter

from octovid_django.management.base import OctovidCommand
from octovid_django.sandbox import Sandbox

BANNER = """\
The sandbox gateway listens at {url}. Ctrl-C stops it, and its tasks are gone then.

The settings to use:

    OCTOVID = {settings}

Create a task:

    curl {url}/v1/video/generations -H {authorization} -d {order}

Its metadata decide what happens to it:

{options}
"""
OPTIONS = """\
    "run_seconds": 6              it completes after so many seconds
    "outcome": "FAILURE"          it fails; "STUCK": it stays at 50 % for ever
    "error": 429                  the query call responds 429 with Retry-After, or 500 to 599,
    "error_seconds": 10           for so long
    "link_lifetime": 60           its link expires so many seconds after its completion
    "needs_key": true             only the key opens its link\
"""
ORDER = {"model": "sandbox-video", "metadata": {"outcome": "SUCCESS", "run_seconds": 6}}


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise ArgumentTypeError("a port is a number from 0 (any free one) to 65535")
    return int(text)


class _Help(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Leaves the lines of the epilog as they are."""


class Command(OctovidCommand):
    help = (
        "Run a sandbox gateway on loopback, which responds like a real one but generates nothing."
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        epilog = f"In the metadata of a task's creation call:\n\n{OPTIONS}"
        return super().create_parser(*args, formatter_class=_Help, epilog=epilog, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=_port, default=8999, help="0 is any free one (default: %(default)s)"
        )
        parser.add_argument(
            "--api-key",
            default="sandbox-key",
            help="the Bearer token that it accepts (default: %(default)s)",
        )

    def handle(self, *, port: int, api_key: str, **options: Any) -> None:
        # Explicitly, because a shell's background jobs ignore SIGINT.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            with self._sandbox(port, api_key) as sandbox:
                for line in self._banner(sandbox).splitlines():
                    self.stdout.write(line)
                self.stdout.flush()
                sandbox.serve_forever()
        except KeyboardInterrupt:
            self.stdout.write("The sandbox gateway has stopped.")

    def _sandbox(self, port: int, api_key: str) -> Sandbox:
        try:
            return Sandbox(port=port, api_key=api_key)
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}): "
                "choose another one with --port, or --port 0 for any that is free."
            ) from None

    def _banner(self, sandbox: Sandbox) -> str:
        return BANNER.format(
            url=sandbox.url,
            settings=json.dumps({"BASE_URL": sandbox.url, "API_KEY": sandbox.api_key}),
            authorization=shlex.quote(f"Authorization: Bearer {sandbox.api_key}"),
            order=shlex.quote(json.dumps(ORDER)),
            options=OPTIONS,
        )
