"""The commands, by their output; the last part runs ``manage.py`` itself."""

from __future__ import annotations

import _thread
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import DataError
from django_q.models import Schedule

from octovid_django.cluster.schedules import ensure_schedule
from octovid_django.exceptions import OctovidRateLimitError
from octovid_django.management.base import OctovidCommand
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state, pause
from octovid_django.sandbox import Sandbox
from tests.gateway import BROKEN, Gateway

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
LONG_ID = "x" * 192


def run(name: str, *arguments: str) -> str:
    """The output of a command that succeeds."""
    stdout = StringIO()
    call_command(name, *arguments, stdout=stdout, stderr=stdout)
    return stdout.getvalue()


def refusal(name: str, *arguments: str) -> str:
    """The one line of a command that refuses."""
    with pytest.raises(CommandError) as caught:
        run(name, *arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert "Traceback" not in text
    return text


@pytest.mark.django_db
class TestTrackCommand:
    def test_new_ids_are_tracked_and_printed(self) -> None:
        assert run("octovid_track", "cgt-1", "cgt-2") == "cgt-1: tracked\ncgt-2: tracked\n"
        assert VideoTask.objects.due().count() == 2

    def test_known_id_is_printed_with_status(self) -> None:
        VideoTask.objects.create(task_id="cgt-1", status="SUCCESS")

        assert run("octovid_track", "cgt-1") == "cgt-1: tracked already, SUCCESS\n"

    def test_metadata_is_stored_on_every_task(self) -> None:
        run("octovid_track", "cgt-1", "cgt-2", "--metadata", '{"order": 7}')

        assert [task.metadata for task in VideoTask.objects.all()] == [{"order": 7}] * 2

    def test_white_space_around_id_is_stripped(self) -> None:
        assert run("octovid_track", " cgt-1\n") == "cgt-1: tracked\n"

    @pytest.mark.parametrize("text", ['"cgt-1"', "cgt-1;", "\ufeffcgt-1", "\u201ccgt-1\u201d,"])
    def test_punctuation_around_id_is_stripped(self, text: str) -> None:
        assert run("octovid_track", text) == "cgt-1: tracked\n"

    @pytest.mark.parametrize(
        ("task_id", "reason"),
        [
            ("", "at least one character"),
            ("   ", "at least one character"),
            (LONG_ID, "has 192 characters, at most 191 are allowed"),
            ("cgt 1", "'cgt 1' holds white space"),
            ("cgt\n1", "holds white space or control characters"),
            ("cgt-2,cgt-3", "holds ,"),
            ("n/a", "'n/a' is not the id of a task"),
            ("https://octopusx.ai/cgt-1", "is a link, not a task id"),
        ],
        ids=["empty", "blank", "too long", "space", "line break", "comma", "n/a", "URL"],
    )
    def test_invalid_id_is_refused_and_nothing_tracked(self, task_id: str, reason: str) -> None:
        assert reason in refusal("octovid_track", "cgt-1", task_id)
        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("metadata", ["order 7", "", "{", "{'order': 7}"])
    def test_metadata_that_is_not_json_is_refused(self, metadata: str) -> None:
        text = refusal("octovid_track", "cgt-1", "--metadata", metadata)

        assert text.startswith(f"--metadata {metadata!r} is not JSON")
        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("metadata", ["x" * 100_000, "[" + "1," * 50_000 + "1]"])
    def test_long_metadata_that_is_refused_is_not_repeated_whole(self, metadata: str) -> None:
        text = refusal("octovid_track", "cgt-1", "--metadata", metadata)

        assert text.startswith(f"--metadata '{metadata[:80]}…' is not")
        assert len(text) < 300

    @pytest.mark.parametrize("metadata", ["7", "null", "[1]", '"order"'])
    def test_metadata_that_is_no_object_is_refused(self, metadata: str) -> None:
        text = refusal("octovid_track", "cgt-1", "--metadata", metadata)

        assert text == f'--metadata {metadata!r} is not a JSON object like {{"order": 7}}'
        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_metadata_with_nan_or_infinity_is_refused(self, number: str) -> None:
        assert "JSON" in refusal("octovid_track", "cgt-1", "--metadata", f'{{"order": {number}}}')

    def test_deeply_nested_metadata_is_refused(self) -> None:
        metadata = '{"a":' * 100_000

        assert "is not JSON" in refusal("octovid_track", "cgt-1", "--metadata", metadata)

    @pytest.mark.parametrize("levels", [30, 330, 500, 900, 960, 990, 1_000, 2_000, 4_900])
    def test_metadata_nested_too_deeply_is_refused_in_one_line(self, levels: int) -> None:
        metadata = '{"a":' + "[" * levels + "]" * levels + "}"

        text = refusal("octovid_track", "cgt-1", "--metadata", metadata)

        assert "nested more than 30 levels" in text or "is not JSON" in text
        assert "\n" not in text

    def test_missing_api_key_is_refused(self, configure: Callable[..., None]) -> None:
        configure(API_KEY="")

        assert 'OCTOVID["API_KEY"] is missing' in refusal("octovid_track", "cgt-1")
        assert not VideoTask.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestRefreshCommand:
    def test_due_tasks_are_polled(self, sandbox: Sandbox) -> None:
        VideoTask.objects.track(sandbox.create(run_seconds=0))
        VideoTask.objects.track(sandbox.create(run_seconds=1000))
        VideoTask.objects.create(task_id="not-due", next_poll_at=None)

        output = run("octovid_refresh")

        assert output == "2 polled, 1 changed, 1 completed, 0 failed\n"
        assert VideoTask.objects.succeeded().count() == 1

    def test_nothing_due_polls_nothing(self, sandbox: Sandbox) -> None:
        assert run("octovid_refresh") == "0 polled, 0 changed, 0 completed, 0 failed\n"
        assert sandbox.query_count == 0

    def test_only_named_task_is_polled_due_or_not(self, sandbox: Sandbox) -> None:
        named = VideoTask.objects.create(task_id=sandbox.create(run_seconds=0, outcome="FAILURE"))
        VideoTask.objects.track(sandbox.create(run_seconds=0))

        output = run("octovid_refresh", named.task_id)

        assert output == "1 polled, 1 changed, 1 completed, 0 failed\n"
        assert list(VideoTask.objects.finished()) == [named]

    @pytest.mark.parametrize(
        "task_id",
        ["never-seen", "", LONG_ID, "a b", "a\nb"],
        ids=["unknown", "empty", "too long", "space", "line break"],
    )
    def test_unknown_task_is_refused_and_nothing_polled(
        self, sandbox: Sandbox, task_id: str
    ) -> None:
        VideoTask.objects.track("cgt-1")

        refusal("octovid_refresh", "cgt-1", task_id)

        assert sandbox.query_count == 0

    def test_unknown_task_is_refused_with_hint_at_track_command(self) -> None:
        text = refusal("octovid_refresh", "never-seen")

        assert (
            text
            == "not tracked: never-seen. To track it, run “manage.py octovid_track never-seen”."
        )

    def test_task_not_exist_fails_command(self, sandbox: Sandbox) -> None:
        VideoTask.objects.track("never-seen")

        text = refusal("octovid_refresh", "never-seen")

        assert text.startswith("1 of 1 polls failed; never-seen: ")
        assert "task_not_exist" in text

    def test_refused_connection_fails_command(
        self, configure: Callable[..., None], closed_port: int
    ) -> None:
        configure(BASE_URL=f"http://127.0.0.1:{closed_port}")
        VideoTask.objects.track("cgt-1")

        text = refusal("octovid_refresh")

        assert text.startswith("1 of 1 polls failed; cgt-1: no response from the gateway")
        assert "refused" in text

    @pytest.mark.parametrize("named", [(), ("cgt-1",)], ids=["due", "named"])
    def test_401_for_wrong_key_fails_command_without_printing_key(
        self, sandbox: Sandbox, configure: Callable[..., None], named: tuple[str, ...]
    ) -> None:
        configure(API_KEY="not-the-key")
        VideoTask.objects.track("cgt-1")

        text = refusal("octovid_refresh", *named)

        assert text.startswith("polling is paused: the gateway responded with 401")
        assert 'Check OCTOVID["API_KEY"]' in text
        assert "not-the-key" not in text

    def test_paused_account_fails_command_without_polling(self, sandbox: Sandbox) -> None:
        VideoTask.objects.track("cgt-1")
        pause(gateway_state(), OctovidRateLimitError("the gateway responded with 429"))

        assert refusal("octovid_refresh") == "polling is paused: the gateway responded with 429"
        assert sandbox.query_count == 0

    @pytest.mark.parametrize("arguments", [(), ("cgt-1",), ("--watch",)], ids=" ".join)
    def test_missing_api_key_is_refused(
        self, configure: Callable[..., None], arguments: tuple[str, ...]
    ) -> None:
        configure(API_KEY="")
        VideoTask.objects.track("cgt-1")

        assert 'OCTOVID["API_KEY"] is missing' in refusal("octovid_refresh", *arguments)


@pytest.mark.django_db(transaction=True)
class TestRefreshWatchCommand:
    @pytest.fixture(autouse=True)
    def ctrl_c_after_a_while(self) -> Iterator[None]:
        """A watch that never stops fails its test, and does not hang the run."""
        timer = threading.Timer(30, _thread.interrupt_main)
        timer.start()
        yield
        timer.cancel()
        timer.join()

    def test_watch_prints_changes_until_every_task_completes(
        self, sandbox: Sandbox, configure: Callable[..., None]
    ) -> None:
        configure(POLL_INTERVAL=1)
        succeeding = sandbox.create(run_seconds=1)
        failing = sandbox.create(run_seconds=1, outcome="FAILURE", fail_reason="too dark")
        for task_id in (succeeding, failing):
            VideoTask.objects.track(task_id)

        lines = run("octovid_refresh", "--watch").splitlines()

        assert lines[:2] == [f"{succeeding}    0 %  NOT_START", f"{failing}    0 %  NOT_START"]
        assert f"{succeeding}  100 %  SUCCESS" in lines
        assert any(
            line.startswith(failing) and line.endswith("FAILURE  too dark") for line in lines
        )
        assert len(lines) == len(set(lines)), "a line is printed only for a change"

    def test_watch_of_named_task_shows_no_other(self, sandbox: Sandbox) -> None:
        named = VideoTask.objects.track(sandbox.create(run_seconds=0))
        other = VideoTask.objects.track(sandbox.create(run_seconds=1000))

        output = run("octovid_refresh", "--watch", named.task_id)

        assert f"{named.task_id}  100 %  SUCCESS" in output
        assert other.task_id not in output

    def test_watch_of_completed_task_shows_its_status(self, sandbox: Sandbox) -> None:
        VideoTask.objects.create(task_id="cgt-1", status="FAILURE", fail_reason="too dark")

        output = run("octovid_refresh", "--watch", "cgt-1")

        assert output.startswith("cgt-1    0 %  FAILURE  too dark")

    def test_watch_of_lost_task_polls_and_recovers_it(self, sandbox: Sandbox) -> None:
        task_id = sandbox.create(run_seconds=0)
        VideoTask.objects.create(task_id=task_id, status="LOST")

        assert run("octovid_refresh", "--watch", task_id) == f"{task_id}  100 %  SUCCESS\n"

    def test_watch_during_pause_shows_reason_and_continues_afterwards(
        self, sandbox: Sandbox
    ) -> None:
        task = VideoTask.objects.track(sandbox.create(run_seconds=0))
        error = OctovidRateLimitError("slow down", retry_after=timedelta(seconds=2))
        pause(gateway_state(), error)

        assert run("octovid_refresh", "--watch").splitlines() == [
            f"{task.task_id}    0 %  NOT_START",
            "polling is paused: slow down",
            f"{task.task_id}  100 %  SUCCESS",
        ]

    def test_watch_without_active_task_stops_at_once(self, sandbox: Sandbox) -> None:
        assert run("octovid_refresh", "--watch") == "no task is active\n"


@pytest.mark.django_db
class TestStatusCommand:
    @pytest.fixture(autouse=True)
    def healthy_site(self) -> Iterator[None]:
        Schedule.objects.all().delete()
        ensure_schedule(using="default")
        with time_machine.travel(NOW, tick=False):
            yield

    def failing(self, *arguments: str) -> str:
        """The output of a status that exits with code 1."""
        stdout = StringIO()
        with pytest.raises(SystemExit) as caught:
            call_command("octovid_status", *arguments, stdout=stdout)
        assert caught.value.code == 1
        return stdout.getvalue()

    def test_empty_site_is_reported_as_well(self) -> None:
        assert run("octovid_status").splitlines() == [
            "tasks: none",
            "undelivered completions: 0",
            "last run at: –",
            "last response at: –",
            "paused until: –",
            "all is well",
        ]

    def test_tasks_and_undelivered_completions_are_counted(self) -> None:
        for number, status in enumerate(["QUEUED", "QUEUED", "SUCCESS"]):
            VideoTask.objects.create(task_id=f"cgt-{number}", status=status)
        VideoTask.objects.filter(status="SUCCESS").update(completed_at=NOW, next_delivery_at=NOW)

        lines = run("octovid_status").splitlines()

        assert lines[:2] == ["tasks: 2 QUEUED, 1 SUCCESS", "undelivered completions: 1"]

    def test_last_run_and_last_response_are_printed(self) -> None:
        state = gateway_state()
        state.last_run_at = state.last_response_at = NOW
        state.save()

        lines = run("octovid_status").splitlines()

        assert lines[2:4] == [
            "last run at: 2026-04-12 16:35:00",
            "last response at: 2026-04-12 16:35:00",
        ]

    def test_problems_are_printed_with_exit_code_1(self) -> None:
        Schedule.objects.all().delete()
        VideoTask.objects.create(task_id="cgt-1", next_poll_at=NOW - timedelta(minutes=3))

        lines = self.failing().splitlines()

        assert lines[-2].startswith("! There is no schedule “octovid-refresh”")
        assert lines[-1].startswith("! 1 task is overdue")
        assert "all is well" not in lines

    def test_missing_api_key_is_reported_beside_counts(
        self, configure: Callable[..., None]
    ) -> None:
        configure(API_KEY="")

        lines = self.failing().splitlines()

        assert lines[0] == "tasks: none"
        assert lines[-1].startswith('! OCTOVID["API_KEY"] is missing')

    def test_json_contains_counts_times_and_problems(self) -> None:
        VideoTask.objects.create(task_id="cgt-1", status="QUEUED")
        state = gateway_state()
        state.last_run_at = NOW
        state.save()

        assert json.loads(run("octovid_status", "--json")) == {
            "tasks": {"QUEUED": 1},
            "undelivered": 0,
            "last_run_at": "2026-04-12T16:35:00+00:00",
            "last_response_at": None,
            "paused_until": None,
            "problems": [],
        }

    def test_json_lists_problems_by_code(self) -> None:
        pause(gateway_state(), OctovidRateLimitError("the gateway responded with 429"))

        report = json.loads(self.failing("--json"))

        assert report["paused_until"] == "2026-04-12T16:35:15+00:00"
        assert [problem["code"] for problem in report["problems"]] == ["paused"]
        assert "the gateway responded with 429" in report["problems"][0]["message"]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nothing listens, and that no other process can take for now."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("site") / "db.sqlite3"
    result = Manage(database)("migrate", "--verbosity=0")
    assert (result.returncode, result.stderr) == (0, "")
    return database


class Manage:
    """``python manage.py …`` of the example site, with a database of its own."""

    def __init__(self, database: Path) -> None:
        self.site = {
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "DATABASE_URL": f"sqlite:///{database}",
            "Q_LOG_LEVEL": "WARNING",
            "OCTOVID_API_KEY": "sandbox-key",
            "OCTOVID_BASE_URL": "http://127.0.0.1:9",
            "OCTOVID_POLL_INTERVAL": "1",
            "REDIS_URL": "",
            "PYTHONDEVMODE": "",
            "PYTHONUTF8": "1",
        }

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.site, **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )


@pytest.fixture
def manage(migrated_database: Path, tmp_path: Path) -> Manage:
    """A site whose database has just been migrated."""
    database = tmp_path / "db.sqlite3"
    shutil.copy(migrated_database, database)
    return Manage(database)


class TestCommandsInTerminal:
    def test_track_refresh_and_status_follow_task_to_completion(
        self, manage: Manage, sandbox: Sandbox
    ) -> None:
        gateway = {"OCTOVID_BASE_URL": sandbox.url}
        task_id = sandbox.create(run_seconds=0)

        tracked = manage("octovid_track", task_id, "--metadata", '{"order": 7}', **gateway)
        refreshed = manage("octovid_refresh", **gateway)
        status = manage("octovid_status", "--json", **gateway)

        assert (tracked.returncode, tracked.stdout) == (0, f"{task_id}: tracked\n")
        assert refreshed.stdout == "1 polled, 1 changed, 1 completed, 0 failed\n"
        assert refreshed.returncode == 0
        assert json.loads(status.stdout)["tasks"] == {"SUCCESS": 1}
        assert (status.returncode, status.stderr) == (0, "")

    def test_watch_without_terminal_prints_plain_lines(
        self, manage: Manage, sandbox: Sandbox
    ) -> None:
        task_id = sandbox.create(run_seconds=1)
        manage("octovid_track", task_id)

        watched = manage("octovid_refresh", "--watch", OCTOVID_BASE_URL=sandbox.url)

        assert watched.returncode == 0
        lines = watched.stdout.splitlines()
        assert lines[-1] == f"{task_id}  100 %  SUCCESS"
        assert all(line.startswith(f"{task_id}  ") and line.isprintable() for line in lines)

    @pytest.mark.skipif(
        os.name != "posix" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        reason="Ctrl-C cannot be pressed here",
    )
    def test_ctrl_c_stops_watch_with_exit_code_0(self, manage: Manage, closed_port: int) -> None:
        manage("octovid_track", "cgt-1")
        environment = {
            **os.environ,
            **manage.site,
            "OCTOVID_BASE_URL": f"http://127.0.0.1:{closed_port}",
        }

        with subprocess.Popen(
            [sys.executable, "manage.py", "octovid_refresh", "--watch"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as watching:
            try:
                assert watching.stdout
                assert watching.stdout.readline() == "cgt-1    0 %  NOT_START\n"
                watching.send_signal(signal.SIGINT)
                stdout, stderr = watching.communicate(timeout=30)
            finally:
                watching.kill()

        assert (
            stdout.splitlines()[-1]
            == "stopped watching; polling the tasks goes on where a cluster runs"
        )
        assert (watching.returncode, stderr) == (0, "")

    def test_status_with_problems_has_exit_code_1_and_empty_stderr(self, manage: Manage) -> None:
        status = manage("octovid_status", OCTOVID_API_KEY="")

        assert (status.returncode, status.stderr) == (1, "")
        assert '! OCTOVID["API_KEY"] is missing' in status.stdout

    def test_status_without_database_reports_database_only(
        self, manage: Manage, tmp_path: Path
    ) -> None:
        status = manage("octovid_status", DATABASE_URL=f"sqlite:///{tmp_path}/gone/db.sqlite3")

        assert (status.returncode, status.stderr) == (1, "")
        assert status.stdout == ("! The database cannot be reached: unable to open database file\n")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["octovid_refresh", "never-seen"], "not tracked: never-seen"),
            (["octovid_track", ""], "at least one character"),
            (["octovid_track", LONG_ID], "at most 191"),
            (["octovid_track", "cgt 1"], "white space"),
            (["octovid_track", "cgt-1", "--metadata", "x"], "is not JSON"),
            (["octovid_track", "cgt-1", "--metadata", "[]"], "is not a JSON object"),
        ],
        ids=["unknown task", "empty id", "long id", "id with space", "no JSON", "no object"],
    )
    def test_invalid_input_prints_one_line_with_exit_code_1(
        self, manage: Manage, arguments: list[str], reason: str
    ) -> None:
        assert reason in one_error_line(manage(*arguments))

    @pytest.mark.parametrize("arguments", [["octovid_track", "cgt-1"], ["octovid_refresh"]])
    def test_missing_api_key_prints_one_line_with_exit_code_1(
        self, manage: Manage, arguments: list[str]
    ) -> None:
        line = one_error_line(manage(*arguments, OCTOVID_API_KEY=""))

        assert 'OCTOVID["API_KEY"] is missing' in line

    def test_refused_connection_prints_one_line_with_exit_code_1(
        self, manage: Manage, closed_port: int
    ) -> None:
        manage("octovid_track", "cgt-1")

        result = manage("octovid_refresh", OCTOVID_BASE_URL=f"http://127.0.0.1:{closed_port}")

        assert "cgt-1: no response from the gateway" in one_error_line(result)

    def test_wrong_key_has_exit_code_1_without_printing_key(
        self, manage: Manage, sandbox: Sandbox
    ) -> None:
        manage("octovid_track", "cgt-1")

        result = manage(
            "octovid_refresh", OCTOVID_BASE_URL=sandbox.url, OCTOVID_API_KEY="not-the-key"
        )

        assert result.returncode == 1
        assert "polling is paused: the gateway responded with 401" in result.stderr
        assert "Traceback" not in result.stderr
        assert "not-the-key" not in result.stdout + result.stderr

    @pytest.mark.parametrize(
        "arguments",
        [["octovid_track", "cgt-1"], ["octovid_refresh"], ["octovid_status"]],
        ids=lambda arguments: arguments[0],
    )
    def test_unmigrated_database_prints_one_line_with_exit_code_1(
        self, tmp_path: Path, arguments: list[str]
    ) -> None:
        result = Manage(tmp_path / "empty.sqlite3")(*arguments)

        assert "(has “manage.py migrate” been run?)" in one_error_line(result)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["octovid_track"],
            ["octovid_track", "cgt-1", "--metadata"],
            ["octovid_refresh", "--what"],
        ],
        ids=" ".join,
    )
    def test_wrong_arguments_print_usage_with_exit_code_2(
        self, manage: Manage, arguments: list[str]
    ) -> None:
        result = manage(*arguments)

        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"usage: manage.py {arguments[0]}")
        assert "Traceback" not in result.stderr

    @pytest.mark.parametrize(
        ("command", "mentioned"),
        [
            ("octovid_track", ["TASK_ID", "--metadata JSON", "JSON object like"]),
            ("octovid_refresh", ["TASK_ID", "--watch", "until every task has completed"]),
            ("octovid_status", ["--json", "Exit code 1"]),
            ("octovid_sandbox", ["--port PORT", "--api-key API_KEY"]),
        ],
    )
    def test_help_mentions_arguments(
        self, tmp_path: Path, command: str, mentioned: list[str]
    ) -> None:
        result = Manage(tmp_path / "none.sqlite3")(command, "--help", COLUMNS="200")

        assert (result.returncode, result.stderr) == (0, "")
        assert [text for text in mentioned if text not in result.stdout] == []


def one_error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The only line on stderr of a command that has exited with code 1."""
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("CommandError: ")
    return line


HOSTILE = "no\x1b[2J\x1b]0;title\x07\x9b31m\u202ecats\nall is well\rx"


@pytest.mark.django_db
class TestHostileTextsInTerminal:
    """What a gateway, a receiver or an operator wrote, on its way to a terminal."""

    @pytest.fixture(autouse=True)
    def rows(self, sandbox: Sandbox) -> None:
        long_ago = datetime.now(timezone.utc) - timedelta(hours=1)
        VideoTask.objects.create(
            task_id="cgt-1",
            status="FAILURE",
            fail_reason=HOSTILE,
            upstream_status=HOSTILE,
            completed_at=long_ago,
            delivery_attempts=5,
            delivery_error=HOSTILE,
        )
        VideoTask.objects.create(task_id="cgt-2", last_error=HOSTILE, error_count=3)
        GatewayState.objects.update_or_create(
            name="default",
            defaults={"pause_reason": HOSTILE, "pause_count": 1, "paused_until": long_ago},
        )

    @pytest.mark.parametrize(
        "command",
        [
            ("octovid_status",),
            ("octovid_status", "--json"),
            ("octovid_refresh",),
            ("octovid_refresh", "cgt-1"),
            ("octovid_refresh", "cgt-1", "--watch"),
            ("octovid_refresh", HOSTILE),
            ("octovid_track", "cgt-1"),
            ("octovid_track", HOSTILE),
            ("octovid_track", "cgt-3", "--metadata", HOSTILE),
        ],
        ids=" ".join,
    )
    def test_control_characters_are_never_printed(self, command: tuple[str, ...]) -> None:
        printed = StringIO()
        try:
            call_command(*command, stdout=printed, stderr=printed)
        except (CommandError, SystemExit) as error:
            printed.write(str(error))

        text = printed.getvalue()
        assert text
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "all is well" not in [line.strip() for line in text.splitlines()]

    @pytest.mark.parametrize("arguments", [("octovid_status",), ("octovid_refresh", "cgt-2")])
    def test_line_break_in_text_forges_no_line(
        self, arguments: tuple[str, ...], gateway: Gateway
    ) -> None:
        forged = "no cats\nall is well"
        in_an_hour = datetime.now(timezone.utc) + timedelta(hours=1)
        GatewayState.objects.update(pause_reason=forged, paused_until=in_an_hour)
        gateway.default = BROKEN
        VideoTask.objects.filter(task_id="cgt-2").update(
            next_poll_at=datetime.now(timezone.utc), last_error=forged
        )
        printed = StringIO()
        with pytest.raises((CommandError, SystemExit)) as raised:
            call_command(*arguments, stdout=printed, stderr=printed)

        text = f"{printed.getvalue()}{raised.value}"
        assert "no cats all is well" in text
        assert "all is well" not in text.splitlines()

    def test_command_error_is_one_printable_line(self) -> None:
        class Refusing(OctovidCommand):
            def handle(self, **options: object) -> None:
                self.stderr.write(HOSTILE)
                raise CommandError(HOSTILE, returncode=3)

        printed = StringIO()
        with pytest.raises(CommandError) as raised:
            call_command(Refusing(), stderr=printed)

        assert raised.value.returncode == 3
        assert str(raised.value).isprintable()
        assert printed.getvalue().rstrip("\n").isprintable()

    def test_database_error_is_redacted_and_has_no_cause(self) -> None:
        class Refused(OctovidCommand):
            def handle(self, **options: object) -> None:
                raise DataError("Failing row contains (https://cdn.example/v?sig=5ec4e7)")

        with pytest.raises(CommandError, match="Failing row") as raised:
            call_command(Refused())

        assert (raised.value.__cause__, raised.value.__context__) == (None, None)
        assert "5ec4e7" not in str(raised.value)


def test_unknown_argument_is_reported_without_control_characters() -> None:
    with pytest.raises(CommandError) as raised:
        call_command("octovid_track", "cgt-1", "--\x1b]0;owned\x07")

    assert str(raised.value).isprintable()
    assert "owned" in str(raised.value)
