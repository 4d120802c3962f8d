"""Which databases on a server the demo may overwrite; ``test_demo`` covers those in files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import environ
import pytest
from django.core.management.base import CommandError
from django.db import connection

from example_project.gallery.own_database import MARKER, claim_database

REMOTE_PLACES = [
    "db.example/shop",
    "localhost.evil.example/shop",
    "127.0.0.1.evil.example:5432/shop",
    "127.0.0.1,db.example/shop",
    "192.0.2.1/shop",
    "0.0.0.0/shop",
    "[2001:db8::1]/shop",
    "/shop",
    "/shop?host=db.example",
    "127.0.0.1/shop?host=db.example",
    "127.0.0.1/shop?hostaddr=192.0.2.1",
    "127.0.0.1/shop?service=production",
    "127.0.0.1/shop?read_default_file=/etc/my.cnf",
    "127.0.0.1/shop?unix_socket=/run/tunnel.sock",
]
LOOPBACK_PLACES = [
    "127.0.0.1/shop",
    "localhost:6432/shop",
    "[::1]/shop",
    "/shop?host=/run/postgresql",
]


@pytest.fixture
def name_database(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change ``DATABASE_URL`` and ``DEBUG`` of the site for this test."""

    def name(url: str, *, debug: bool = True) -> None:
        database = {"HOST": "", "OPTIONS": {}, **environ.Env.db_url_config(url)}
        monkeypatch.setitem(settings.DATABASES, "default", database)
        settings.DEBUG = debug

    return name


@pytest.mark.parametrize("place", REMOTE_PLACES)
@pytest.mark.parametrize("scheme", ["postgres", "mysql"])
def test_database_server_on_other_machine_is_refused_before_connecting(
    name_database: Callable[..., None], scheme: str, place: str
) -> None:
    name_database(f"{scheme}://shop:s3cret@{place}")

    with pytest.raises(CommandError, match="does not say plainly") as refusal:
        claim_database()
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("place", LOOPBACK_PLACES)
def test_database_server_on_loopback_without_debug_is_refused(
    name_database: Callable[..., None], place: str
) -> None:
    name_database(f"postgres://shop:s3cret@{place}", debug=False)

    with pytest.raises(CommandError, match="DEBUG is off"):
        claim_database()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="DATABASE_URL names no server")
@pytest.mark.django_db
class TestDatabaseServerOnLoopback:
    @pytest.fixture(autouse=True)
    def in_development(self, settings: Any) -> None:
        settings.DEBUG = True

    def test_database_with_foreign_tables_is_refused(self) -> None:
        with pytest.raises(CommandError, match="tables of others"):
            claim_database()
        assert MARKER not in connection.introspection.table_names()

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="needs an empty schema")
    def test_empty_database_is_marked_and_accepted_again(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA empty; SET LOCAL search_path TO empty")
        claim_database()
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE shop (id integer)")

        claim_database()

    def test_connection_to_other_machine_is_refused_despite_loopback_settings(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``PGHOSTADDR`` can redirect it, which no setting shows."""
        monkeypatch.setattr("example_project.gallery.own_database._peer", lambda: "192.0.2.1")

        with pytest.raises(CommandError, match="on another machine"):
            claim_database()
