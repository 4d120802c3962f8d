"""Known vulnerabilities in what CI installs: ``tox -e audit``.

The exit code is 0 when everything was audited and nothing was found, 1 when something was found in
the newest versions, and 3 when nothing was found but not everything could be audited. What is found
in the lowest versions is printed only: they are the oldest that the tests run with, and nobody has
to install them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from constraints.pins import LOWEST, NEWEST, PYTHONS, read_pins

ROOT = Path(__file__).resolve().parent.parent
FOUND = 1
NOT_AUDITED = 3
TIMEOUT = 300


@dataclass(frozen=True)
class Audit:
    """What a service reports about some packages."""

    total: int
    audited: int
    vulnerabilities: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.audited:
            return f"NOTHING AUDITED: no service reports on these {self.total} packages"
        lines = [f"{self.audited} of {self.total} packages audited"]
        if self.audited < self.total:
            lines.append(f"NOT AUDITED: {self.total - self.audited}")
        return "\n  ".join([*lines, *(self.vulnerabilities or ("no known vulnerability",))])


def main() -> int:
    newest, lowest, npm = audit_pins(NEWEST), audit_pins(LOWEST), audit_npm()
    for what, audit in ((NEWEST.name, newest), (LOWEST.name, lowest), ("npm", npm)):
        print(f"{what}: {audit}")
    return exit_code(newest, npm, shown=lowest)


def exit_code(*audits: Audit, shown: Audit) -> int:
    if any(audit.vulnerabilities for audit in audits):
        return FOUND
    is_complete = all(audit.audited == audit.total for audit in (*audits, shown))
    return 0 if is_complete else NOT_AUDITED


def audit_pins(path: Path) -> Audit:
    """Audit what a file pins, for all Pythons."""
    versions: dict[str, set[str]] = defaultdict(set)
    for python in PYTHONS:
        for name, version in read_pins(path, python).items():
            versions[name].add(version)
    left = [f"{name}=={version}" for name in versions for version in versions[name]]
    audit = of_pip_audit(left[:1], _pip_audit(left[:1]))
    if not audit.audited:  # a service that does not know one package is not queried for a hundred
        return Audit(total=len(left), audited=0)
    results = []
    while versions:  # one version of each package at a time, as pip-audit requires
        batch = [f"{name}=={each.pop()}" for name, each in versions.items()]
        results.append(of_pip_audit(batch, _pip_audit(batch)))
        versions = {name: each for name, each in versions.items() if each}
    return Audit(
        total=sum(each.total for each in results),
        audited=sum(each.audited for each in results),
        vulnerabilities=tuple(line for each in results for line in each.vulnerabilities),
    )


def audit_npm() -> Audit:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    total = len(lock["packages"]) - 1  # the first is this project
    npm = shutil.which("npm")
    return of_npm(total, _json([npm, "audit", "--json"]) if npm else {})


def of_pip_audit(pins: list[str], report: dict[str, Any]) -> Audit:
    """Read pip-audit's report, which takes for clean what it could not audit."""
    audited = [each for each in report.get("dependencies", []) if "skip_reason" not in each]
    return Audit(
        total=len(pins),
        audited=len(audited),
        vulnerabilities=tuple(
            f"{each['name']} {each['version']}: {found['id']}"
            f" (fixed in {', '.join(found['fix_versions']) or 'none yet'})"
            for each in audited
            for found in each["vulns"]
        ),
    )


def of_npm(total: int, report: dict[str, Any]) -> Audit:
    """Read npm's report; without metadata it is an error."""
    return Audit(
        total=total,
        audited=total if "metadata" in report else 0,
        vulnerabilities=tuple(
            f"{name}: {each['severity']}"
            for name, each in report.get("vulnerabilities", {}).items()
        ),
    )


def _pip_audit(pins: list[str]) -> dict[str, Any]:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "requirements.txt"
        path.write_text("\n".join(pins))
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
        return _json([sys.executable, "-m", "pip_audit", *options, "--requirement", str(path)])


def _json(command: list[str]) -> dict[str, Any]:
    """Return what a command prints as JSON; nothing where it cannot."""
    try:
        result = subprocess.run(
            command, cwd=ROOT, check=False, timeout=TIMEOUT, capture_output=True, text=True
        )
        report: dict[str, Any] = json.loads(result.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return {}
    return report


if __name__ == "__main__":
    sys.exit(main())
