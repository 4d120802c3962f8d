"""What ``manage.py check`` reports about wrong settings, and nothing about correct ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.checks.messages import ERROR, WARNING

from octovid_django import checks
from tests.processes import Site

ROOT = Path(__file__).resolve().parent.parent
SECRET = "sk-a-very-secret-key"
Q_CLUSTER = {"name": "site", "orm": "default", "timeout": 90, "retry": 120, "catch_up": False}

pytestmark = pytest.mark.django_db  # Django's own checks of the models may query it


@pytest.fixture(autouse=True)
def correct_settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Correct settings, for each test to spoil."""
    settings.OCTOVID = {"API_KEY": SECRET}
    settings.Q_CLUSTER = Q_CLUSTER
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cluster(settings: Any) -> Callable[..., None]:
    """Change some keys of ``Q_CLUSTER`` for this test."""

    def change(**values: Any) -> None:
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, **values}

    return change


def found(*, is_deployment: bool = False) -> dict[str, CheckMessage]:
    """The app's messages of a whole ``manage.py check``, by the short form of their id."""
    checked = run_checks(include_deployment_checks=is_deployment)
    messages = [each for each in checked if each.id.startswith("octovid_django.")]
    by_id = {message.id.removeprefix("octovid_django."): message for message in messages}
    assert len(by_id) == len(messages), "each problem is reported once"
    return by_id


def the_only_one(short_id: str) -> CheckMessage:
    """The app's only message, which has this id, the right level, and advice."""
    by_id = found()
    assert list(by_id) == [short_id]
    message = by_id[short_id]
    assert message.level == (ERROR if short_id.startswith("E") else WARNING)
    assert SECRET not in str(message)
    return message


def test_correct_settings_give_no_message() -> None:
    assert not found()


def test_correct_value_of_every_setting_gives_no_message(configure: Callable[..., None]) -> None:
    configure(
        BASE_URL="https://gateway.example/path",
        TIMEOUT=5,
        MAX_RESPONSE_BYTES=1_000_000,
        POLL_INTERVAL=5,
        CONCURRENCY=8,
        BATCH_SIZE=100,
        LOST_AFTER=86_400,
        LINK_LIFETIME=3600,
        CLUSTER="site",
    )

    assert not found()


def test_check_ids_are_unique_and_consecutive() -> None:
    ids = re.findall(r'id="(octovid_django\.\w+)"', Path(checks.__file__).read_text("utf-8"))

    assert sorted(ids) == sorted(
        [f"octovid_django.E00{number}" for number in range(1, 10)]
        + [f"octovid_django.W00{number}" for number in range(1, 8)]
    )


class TestSettingsChecks:
    @pytest.mark.parametrize("given", [{}, {"API_KEY": ""}, {"API_KEY": None}])
    def test_missing_api_key_is_warning_w007(self, settings: Any, given: dict[str, Any]) -> None:
        settings.OCTOVID = given

        message = the_only_one("W007")

        assert 'OCTOVID["API_KEY"] is missing' in message.msg
        assert 'OCTOVID = {"API_KEY": "…"}' in message.hint

    @pytest.mark.parametrize("given", [{}, {"API_KEY": ""}, {"API_KEY": None}])
    def test_missing_api_key_in_deployment_check_is_error_e001(
        self, settings: Any, given: dict[str, Any]
    ) -> None:
        settings.OCTOVID = given

        error = found(is_deployment=True)["E001"]

        assert error.level == ERROR
        assert 'OCTOVID["API_KEY"] is missing' in error.msg
        assert 'OCTOVID = {"API_KEY": "…"}' in error.hint

    def test_api_key_in_deployment_check_gives_no_message(self) -> None:
        assert not found(is_deployment=True)

    def test_missing_octovid_is_reported_as_missing_api_key(self, settings: Any) -> None:
        del settings.OCTOVID

        the_only_one("W007")
        assert "E001" in found(is_deployment=True)

    def test_octovid_that_is_no_dict_in_deployment_check_is_only_error_e002(
        self, settings: Any
    ) -> None:
        settings.OCTOVID = SECRET

        assert list(found(is_deployment=True)) == ["E002"]

    @pytest.mark.parametrize("value", [None, SECRET, ["API_KEY", SECRET]])
    def test_octovid_that_is_no_dict_is_error_e002(self, settings: Any, value: object) -> None:
        settings.OCTOVID = value

        message = the_only_one("E002")

        assert "OCTOVID is not a dict" in message.msg
        assert 'write OCTOVID = {"API_KEY": "…"}' in message.msg

    @pytest.mark.parametrize(
        ("written", "meant"), [("TIME_OUT", "TIMEOUT"), ("base_url", "BASE_URL")]
    )
    def test_misspelt_setting_is_error_e003_with_suggestion(
        self, configure: Callable[..., None], written: str, meant: str
    ) -> None:
        configure(**{written: SECRET})

        message = the_only_one("E003")

        assert f'OCTOVID["{written}"] is not a setting' in message.msg
        assert message.hint == f'Did you mean "{meant}"?'

    def test_unknown_setting_is_error_e003_with_list_of_settings(
        self, configure: Callable[..., None]
    ) -> None:
        configure(FAVOURITE_COLOUR="blue")

        message = the_only_one("E003")

        assert "API_KEY, BASE_URL, TIMEOUT" in message.hint

    def test_setting_name_that_is_no_string_is_error_e003(self, settings: Any) -> None:
        settings.OCTOVID = {"API_KEY": SECRET, 7: 7}

        assert 'OCTOVID["7"]' in the_only_one("E003").msg

    @pytest.mark.parametrize(
        ("name", "value", "advice"),
        [
            ("API_KEY", f"{SECRET}\n", "a string without line breaks"),
            ("API_KEY", SECRET[:7], "the whole key, of 8 characters at least"),
            ("BASE_URL", "octopusx.ai", 'an http(s) URL like "https://octopusx.ai"'),
            ("TIMEOUT", "10", "a number of seconds from 0.1 to 300"),
            ("TIMEOUT", 0, "a number of seconds from 0.1 to 300"),
            ("MAX_RESPONSE_BYTES", None, "a whole number from 1024 to 1073741824"),
            ("POLL_INTERVAL", 0, "a number of seconds from 1 to 3600"),
            ("CONCURRENCY", 0, "a whole number from 1 to 1000"),
            ("BATCH_SIZE", "many", "a whole number from 1 to 10000"),
            ("LOST_AFTER", 1, "a number of seconds from 60 to 315360000"),
            ("LINK_LIFETIME", 0, "a number of seconds from 1 to 315360000"),
            ("CLUSTER", "", "the name of a django-q2 cluster, or None"),
        ],
    )
    def test_wrong_value_is_error_e004_with_advice(
        self, configure: Callable[..., None], name: str, value: Any, advice: str
    ) -> None:
        configure(**{name: value})

        message = the_only_one("E004")

        assert message.msg == f'OCTOVID["{name}"] is wrong'
        assert message.hint.startswith("Write ")
        assert advice in message.hint

    def test_several_wrong_values_are_reported_together(
        self, configure: Callable[..., None]
    ) -> None:
        configure(TIMEOUT="x", BATCH_SIZE="x")

        messages = checks.check_settings()

        assert [each.msg.split()[0] for each in messages] == [
            'OCTOVID["TIMEOUT"]',
            'OCTOVID["BATCH_SIZE"]',
        ]

    def test_plain_http_base_url_is_warning_w001(self, configure: Callable[..., None]) -> None:
        configure(BASE_URL="http://octopusx.ai")

        message = the_only_one("W001")

        assert 'OCTOVID["BASE_URL"] is plain http' in message.msg
        assert "https://" in message.hint

    @pytest.mark.parametrize("host", ["127.0.0.1:8999", "localhost:8999", "[::1]"])
    def test_plain_http_on_loopback_gives_no_message(
        self, configure: Callable[..., None], host: str
    ) -> None:
        configure(BASE_URL=f"http://{host}")

        assert not found()

    @pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
    @pytest.mark.parametrize("host", ["octopusx.ai", "127.0.0.1:8999", "localhost"])
    def test_plain_http_through_proxy_is_warning_w001(
        self,
        configure: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
        host: str,
    ) -> None:
        configure(BASE_URL=f"http://{host}")
        monkeypatch.setenv(variable, "http://user:password@proxy.example:3128")

        message = the_only_one("W001")

        assert "the proxy of the environment (http_proxy) gets it" in message.msg
        assert message.hint == "Write https://, or name the host in no_proxy."
        assert "password" not in str(message)

    def test_https_through_proxy_gives_no_message(
        self, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(BASE_URL="https://octopusx.ai")
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://proxy.example:3128")

        assert not found()

    def test_host_in_no_proxy_gives_no_message(
        self, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(BASE_URL="http://localhost:8999")
        monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
        monkeypatch.setenv("no_proxy", "localhost")

        assert not found()

    def test_use_tz_false_is_error_e009(self, settings: Any) -> None:
        settings.USE_TZ = False

        message = the_only_one("E009")

        assert "USE_TZ is False" in message.msg
        assert "USE_TZ = True" in message.hint
        assert "`USE_TZ = True`" in (ROOT / "README.md").read_text("utf-8")


def test_site_without_api_key_can_be_migrated_and_tested_but_not_deployed(tmp_path: Path) -> None:
    with closing(
        Site(tmp_path, "http://127.0.0.1:9", settings='OCTOVID["API_KEY"] = None')
    ) as site:
        for command in ("check", "makemigrations", "migrate", "test"):
            result = site.manage(command)
            assert result.returncode == 0, result.stderr
            assert 'OCTOVID["API_KEY"] is missing' in result.stderr

        for command in (("check", "--deploy"), ("octovid_refresh",), ("octovid_status",)):
            result = site.manage(*command)
            assert result.returncode == 1
            assert 'OCTOVID["API_KEY"] is missing' in result.stdout + result.stderr


class TestClusterChecks:
    def test_missing_django_q_is_error_e005(self, settings: Any) -> None:
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django_q"]

        (message,) = checks.check_cluster()

        assert message.id == "octovid_django.E005"
        assert message.hint == 'Add "django_q" to INSTALLED_APPS.'

    def test_unknown_cluster_name_is_error_e006(
        self, configure: Callable[..., None], cluster: Callable[..., None]
    ) -> None:
        configure(CLUSTER="vidoes")
        cluster(ALT_CLUSTERS={"videos": {}})

        message = the_only_one("E006")

        assert 'OCTOVID["CLUSTER"] is "vidoes"' in message.msg
        assert "Write site or videos" in message.hint
        assert 'Q_CLUSTER["ALT_CLUSTERS"]' in message.hint

    def test_cluster_of_alt_clusters_gives_no_message(
        self, configure: Callable[..., None], cluster: Callable[..., None]
    ) -> None:
        configure(CLUSTER="videos")
        cluster(ALT_CLUSTERS={"videos": {"timeout": 60}})

        assert not found()

    @pytest.mark.parametrize(
        ("timeout", "retry"), [(120, 120), (121, 120)], ids=["equal_to_retry", "longer_than_retry"]
    )
    def test_timeout_not_less_than_retry_is_error_e007(
        self, cluster: Callable[..., None], timeout: int, retry: int
    ) -> None:
        cluster(timeout=timeout, retry=retry)

        message = the_only_one("E007")

        assert f'Q_CLUSTER["timeout"] of site is {timeout}' in message.msg
        assert f'not less than "retry" ({retry})' in message.msg
        assert '{"timeout": 90, "retry": 120, …}' in message.hint

    def test_timeout_not_less_than_default_retry_is_error_e007(self, settings: Any) -> None:
        settings.Q_CLUSTER = {"name": "site", "timeout": 60, "catch_up": False}

        assert '"retry" (60)' in the_only_one("E007").msg

    def test_timeout_too_short_for_polling_run_is_error_e008(
        self, configure: Callable[..., None], cluster: Callable[..., None]
    ) -> None:
        configure(TIMEOUT=30)
        cluster(timeout=39)

        message = the_only_one("E008")

        assert "is 39: a tick does not fit" in message.msg
        assert 'OCTOVID["TIMEOUT"] (30)' in message.msg
        assert '"timeout": 90' in message.hint

    def test_timeout_just_long_enough_for_polling_run_gives_no_message(
        self, configure: Callable[..., None], cluster: Callable[..., None]
    ) -> None:
        configure(TIMEOUT=30)
        cluster(timeout=40)

        assert not found()

    def test_missing_timeout_is_warning_w002(self, settings: Any) -> None:
        settings.Q_CLUSTER = {"name": "site", "retry": 120, "catch_up": False}

        message = the_only_one("W002")

        assert 'Q_CLUSTER["timeout"] of site is not set' in message.msg
        assert '"timeout": 90' in message.hint

    def test_missing_q_cluster_is_warnings_w002_and_w006(self, settings: Any) -> None:
        del settings.Q_CLUSTER

        by_id = found()
        assert list(by_id) == ["W002", "W006"]
        assert "of default is not set" in by_id["W002"].msg

    @pytest.mark.parametrize("q_cluster", [{}, None])
    def test_empty_q_cluster_is_warnings_w002_and_w006(
        self, settings: Any, q_cluster: None
    ) -> None:
        settings.Q_CLUSTER = q_cluster

        assert list(found()) == ["W002", "W006"]

    def test_catch_up_is_warning_w006(self, cluster: Callable[..., None]) -> None:
        cluster(catch_up=True)

        message = the_only_one("W006")

        assert 'Q_CLUSTER["catch_up"] of site is on' in message.msg
        assert '"catch_up": False' in message.hint

    def test_scheduler_off_is_warning_w003(self, cluster: Callable[..., None]) -> None:
        cluster(scheduler=False)

        message = the_only_one("W003")

        assert 'Q_CLUSTER["scheduler"] of site is False' in message.msg
        assert 'OCTOVID["CLUSTER"]' in message.hint

    def test_cluster_name_other_than_site_is_warning_w004(
        self, cluster: Callable[..., None]
    ) -> None:
        cluster(cluster_name="videos")

        message = the_only_one("W004")

        assert "The cluster videos is not named like the site (site)" in message.msg
        assert 'OCTOVID = {"CLUSTER": "videos", …}' in message.hint

    def test_cluster_name_other_than_site_but_in_octovid_gives_no_message(
        self, configure: Callable[..., None], cluster: Callable[..., None]
    ) -> None:
        cluster(cluster_name="videos")
        configure(CLUSTER="videos")

        assert not found()

    def test_sync_cluster_is_warning_w005(self, cluster: Callable[..., None]) -> None:
        cluster(sync=True)

        message = the_only_one("W005")

        assert 'Q_CLUSTER["sync"] is on' in message.msg
        assert message.hint.startswith("Remove it")

    def test_cluster_other_than_configured_one_is_not_checked(
        self, configure: Callable[..., None], cluster: Callable[..., None]
    ) -> None:
        configure(CLUSTER="videos")
        cluster(
            timeout=500,
            scheduler=False,
            ALT_CLUSTERS={"videos": {"timeout": 90, "scheduler": True}},
        )

        assert not found()

    @pytest.mark.parametrize("octovid", [None, {"API_KEY": SECRET, "TIMEOUT": "x"}])
    def test_cluster_is_not_checked_where_octovid_is_wrong(
        self, settings: Any, octovid: object
    ) -> None:
        settings.OCTOVID = octovid

        assert not checks.check_cluster()
