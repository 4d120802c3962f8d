"""What the wheel holds; ``tox -e packaging`` builds it and passes its directory."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def wheel(request: pytest.FixtureRequest) -> ZipFile:
    wheel_dir = request.config.getoption("--wheel-dir")
    if not wheel_dir:
        pytest.skip("--wheel-dir is missing: tox -e packaging builds a wheel and passes it")
    (path,) = Path(wheel_dir).glob("*.whl")
    return ZipFile(path)


def test_wheel_holds_exactly_the_package(wheel: ZipFile) -> None:
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "octovid_django").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert packed == package
    assert {"octovid_django/py.typed", "octovid_django/sandbox/video.mp4"} <= packed
    assert "octovid_django/migrations/0001_initial.py" in packed


def test_wheel_requires_exactly_four_packages(wheel: ZipFile) -> None:
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
