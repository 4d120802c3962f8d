"""What the distributions hold; ``tox -e packaging`` builds them and says where they are."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def wheel(request: pytest.FixtureRequest) -> ZipFile:
    wheel_dir = request.config.getoption("--wheel-dir")
    if not wheel_dir:
        pytest.skip("--wheel-dir is not given: tox -e packaging builds a wheel and gives it")
    (path,) = Path(wheel_dir).glob("*.whl")
    return ZipFile(path)


def test_readme_has_no_relative_link_or_picture() -> None:
    """A package index shows it without the repository around it."""
    readme = (ROOT / "README.md").read_text("utf-8")
    targets = re.findall(r"\]\(([^)]*)\)", readme)
    targets += re.findall(r"^\[[^]]+\]:\s*(\S+)", readme, re.MULTILINE)
    targets += re.findall(r"(?:href|src)=[\"']([^\"']*)", readme)

    assert len(targets) > 5
    assert [each for each in targets if not each.startswith("https://")] == []
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme)
    assert [each for each in pictures if "/blob/" in each] == [], "a page, and no picture"


def test_project_urls_lead_to_one_repository() -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", "utf-8")
    lines = config["metadata"]["project_urls"].strip().splitlines()
    urls = dict(line.split(" = ") for line in lines)

    assert set(urls) == {"Source", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(urls["Source"]) for url in urls.values())


def test_the_wheel_is_the_package_and_nothing_else(wheel: ZipFile) -> None:
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "octovid_django").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert packed == package
    assert {"octovid_django/py.typed", "octovid_django/sandbox/video.mp4"} <= packed
    assert "octovid_django/migrations/0001_initial.py" in packed


def test_the_wheel_requires_four_packages_only(wheel: ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = wheel.read(metadata).decode().splitlines()
    required = [line for line in lines if line.startswith("Requires-Dist") and "extra" not in line]

    assert required == [
        "Requires-Dist: django>=5.2",
        "Requires-Dist: django-q2>=1.8",
        "Requires-Dist: requests>=2.32",
        "Requires-Dist: urllib3>=2.8",
    ]
    assert "License-Expression: MIT" in lines
    assert "Requires-Python: >=3.10" in lines
