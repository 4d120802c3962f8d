"""The versions that CI installs are pinned, without naming a registry."""

from __future__ import annotations

import json
import os
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from constraints.audit import FOUND, NOT_AUDITED, Audit, exit_code, of_npm, of_pip_audit
from constraints.pins import LOWEST, NEWEST, PYTHONS, read_pins
from tests.processes import ROOT

SEEDED = {"pip", "setuptools", "wheel"}
"""What a new environment has before anything is installed."""


@pytest.mark.skipif(
    not os.environ.get("PIP_CONSTRAINT", "").startswith(str(NEWEST.parent)),
    reason="these packages were not installed under our constraints, as CI's are",
)
def test_installed_packages_have_pinned_versions() -> None:
    pins = {
        requirement.name: requirement.specifier
        for line in Path(os.environ["PIP_CONSTRAINT"]).read_text().splitlines()[1:]
        if not (requirement := Requirement(line)).marker or requirement.marker.evaluate()
    }
    installed = {canonicalize_name(each.name): each.version for each in distributions()}
    ours = {"octovid-django"}

    assert {
        name: version
        for name, version in installed.items()
        if name not in SEEDED | ours and (name not in pins or version not in pins[name])
    } == {}


@pytest.mark.parametrize("path", [NEWEST, LOWEST])
def test_constraints_contain_only_exact_pins(path: Path) -> None:
    header, *lines = path.read_text().splitlines()

    assert header.startswith("#")
    for line in lines:
        requirement = Requirement(line)
        assert not requirement.url
        assert [each.operator for each in requirement.specifier] == ["=="], line


def test_constraints_pin_one_django_for_each_python() -> None:
    majors = {python: read_pins(NEWEST, python)["django"].split(".")[0] for python in PYTHONS}

    assert majors == {"3.10": "5", "3.11": "5", "3.12": "6", "3.13": "6"}


def test_package_lock_has_checksums_and_no_registry() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    locked = {name: each for name, each in lock["packages"].items() if name}

    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("integrity" in each and "resolved" not in each for each in locked.values())
    assert "://" not in (ROOT / ".npmrc").read_text()


CLEAN = {"name": "django", "version": "6.1.3", "vulns": []}
VULNERABLE = {
    "name": "requests",
    "version": "2.32.2",
    "vulns": [{"id": "CVE-2024-47081", "fix_versions": ["2.32.4"]}],
}
SKIPPED = {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited"}


class TestAudit:
    """Reports as pip-audit and npm print them; what was not audited must not look clean."""

    def test_clean_report_has_exit_code_0(self) -> None:
        audit = of_pip_audit(["django==6.1.3"], {"dependencies": [CLEAN], "fixes": []})

        assert str(audit) == "1 of 1 packages audited\n  no known vulnerability"
        assert exit_code(audit, shown=audit) == 0

    @pytest.mark.parametrize("report", [{}, {"dependencies": [SKIPPED], "fixes": []}])
    def test_report_with_skipped_packages_only_is_not_audited(self, report: dict) -> None:
        audit = of_pip_audit(["rich==15.0.0"], report)

        assert str(audit).startswith("NOTHING AUDITED")
        assert exit_code(audit, shown=audit) == NOT_AUDITED

    def test_report_with_skipped_package_is_incomplete(self) -> None:
        pins = ["django==6.1.3", "rich==15.0.0"]
        audit = of_pip_audit(pins, {"dependencies": [CLEAN, SKIPPED], "fixes": []})

        assert "NOT AUDITED: 1" in str(audit)
        assert exit_code(audit, shown=audit) == NOT_AUDITED

    def test_vulnerability_fails_audit_unless_in_lowest_versions(self) -> None:
        clean = of_pip_audit(["django==6.1.3"], {"dependencies": [CLEAN]})
        found = of_pip_audit(["requests==2.32.2"], {"dependencies": [VULNERABLE]})

        assert "requests 2.32.2: CVE-2024-47081 (fixed in 2.32.4)" in str(found)
        assert exit_code(found, Audit(total=1, audited=0), shown=clean) == FOUND
        assert exit_code(clean, shown=found) == 0

    def test_npm_error_is_not_audited(self) -> None:
        audit = of_npm(1, {"message": "405 Method Not Allowed", "error": {"summary": ""}})

        assert exit_code(audit, shown=audit) == NOT_AUDITED

    def test_npm_vulnerability_is_found(self) -> None:
        report = {"vulnerabilities": {"axe-core": {"severity": "high"}}, "metadata": {}}

        assert of_npm(1, report) == Audit(1, 1, ("axe-core: high",))
        assert of_npm(1, {"vulnerabilities": {}, "metadata": {}}) == Audit(1, 1)
