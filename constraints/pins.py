"""The pinned versions, in the files beside this one."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement

NEWEST = Path(__file__).with_name("newest.txt")
LOWEST = Path(__file__).with_name("lowest.txt")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def read_pins(path: Path, python: str) -> dict[str, str]:
    """Return the version of each package for one Python, such as ``"3.13"``."""
    lines = (line.partition("#")[0] for line in path.read_text().splitlines())
    requirements = [Requirement(line) for line in lines if line.strip()]
    return {
        each.name: str(each.specifier).removeprefix("==")
        for each in requirements
        if each.marker is None or each.marker.evaluate({"python_version": python})
    }
