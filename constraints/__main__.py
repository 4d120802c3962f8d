"""Pin anew what CI installs: in ``newest.txt``, and for ``tox -e lowest`` in ``lowest.txt``.

Each installed Python resolves what ``setup.cfg``, ``pyproject.toml`` and ``tox.ini`` require. For a
Python that is not installed, the pins stay as they are.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from configparser import ConfigParser
from pathlib import Path

from packaging.utils import canonicalize_name

from constraints.pins import LOWEST, NEWEST, PYTHONS, read_pins

ROOT = Path(__file__).resolve().parent.parent
LOWEST_PYTHON = PYTHONS[0]
HEADER = "# Written by `tox -e constraints`.\n"


def main() -> None:
    executables = {python: path for python in PYTHONS if (path := find(python))}
    print("resolving on Python", ", ".join(executables))
    newest = {
        python: resolve(executables[python], newest_requirements())
        if python in executables
        else read_pins(NEWEST, python)
        for python in PYTHONS
    }
    write(NEWEST, newest)
    if LOWEST_PYTHON in executables:
        lowest = resolve(executables[LOWEST_PYTHON], lowest_requirements())
        write(LOWEST, {LOWEST_PYTHON: lowest})


def find(python: str) -> str | None:
    """Return the path of this Python, ``None`` where there is none (or a shim without one)."""
    command = [f"python{python}", "-c", "import sys; print(sys.executable)"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


def newest_requirements() -> list[str]:
    """Return what tox and its environments install, without the factors for one Django."""
    tox = _tox_ini()
    build = re.search(r"^requires = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    if not build:
        raise ValueError("pyproject.toml names no build requirements on one line")
    environments = set(tox.sections()) - {"tox", "testenv", "testenv:lowest"}
    return [
        *json.loads(build[1]),
        *_lines(tox["tox"]["requires"]),
        *(each for name in environments for each in _lines(tox[name].get("deps", ""))),
    ]


def lowest_requirements() -> list[str]:
    return _lines(_tox_ini()["testenv:lowest"]["deps"])


def _tox_ini() -> ConfigParser:
    tox = ConfigParser(interpolation=None, default_section="")
    tox.read(ROOT / "tox.ini")
    return tox


def _lines(value: str) -> list[str]:
    """Return the requirements of a value of ``tox.ini``, without the factors before them."""
    return [re.sub(r"^\S+:\s+", "", line) for line in value.splitlines() if line]


def resolve(executable: str, requirements: list[str]) -> dict[str, str]:
    """Return the version of each package in a test environment with these requirements."""
    pip = [sys.executable, "-m", "pip", "--python", executable]
    options = ["--quiet", "--dry-run", "--ignore-installed", "--only-binary", ":all:"]
    report = subprocess.run(
        [*pip, "install", *options, "--report", "-", ".[test]", *requirements],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return {
        canonicalize_name(package["metadata"]["name"]): package["metadata"]["version"]
        for package in json.loads(report.stdout)["install"]
        if "dir_info" not in package["download_info"]  # ourselves
    }


def write(path: Path, pins: dict[str, dict[str, str]]) -> None:
    """Write the pins; a version that is the same on every Python gets no marker."""
    pythons: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for python, versions in pins.items():
        for name, version in versions.items():
            pythons[name][version].append(python)
    lines = [
        f"{name}=={version}" + (_marker(versions[version]) if len(versions) > 1 else "")
        for name, versions in sorted(pythons.items())
        for version in versions
    ]
    path.write_text(HEADER + "\n".join(lines) + "\n")


def _marker(pythons: list[str]) -> str:
    return " ; " + " or ".join(f'python_version == "{python}"' for python in pythons)


if __name__ == "__main__":
    main()
