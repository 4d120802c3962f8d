"""The texts name what there is: modules, files, and pages that a reader of the index can open."""

from __future__ import annotations

import re

import pytest

from tests.processes import ROOT

PACKAGE = ROOT / "octovid_django"
REPOSITORY = "https://github.com/octovid/octovid-django/blob/main/"
PICTURES = "https://raw.githubusercontent.com/octovid/octovid-django/main/"
TEXTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/glossary.md"]
OPENED = [PACKAGE / "admin", PACKAGE / "cluster"]
"""Packages whose modules have rows of their own in the table."""
NO_MODULES = {"migrations", "static", "templates"}


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of every row of a text's tables."""
    lines = [line for line in read(name).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def links(name: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", read(name))


def modules() -> set[str]:
    """The modules of the app: ``admin/tasks`` where there is one page to open, else a package."""
    files = [*PACKAGE.glob("*.py"), *(path for each in OPENED for path in each.glob("*.py"))]
    names = {str(path.relative_to(PACKAGE).with_suffix("")) for path in files}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    packages = folders - NO_MODULES - {path.name for path in OPENED} - {"__pycache__"}
    return {name for name in names if not name.endswith("__init__")} | packages


def test_contributing_lists_every_module_once_and_no_other() -> None:
    named = [cells[0].strip("`") for cells in rows("CONTRIBUTING.md") if "`" in cells[0]]

    assert sorted(named) == sorted(modules())


def test_glossary_names_existing_modules_and_each_word_once() -> None:
    defined = [cells for cells in rows("docs/glossary.md") if cells[0].startswith("**")]
    words = [word for cells in defined for word in re.findall(r"\*\*(.+?)\*\*", cells[0])]

    assert {cells[2].strip("`") for cells in defined} <= modules()
    assert len(words) == len(set(words)) > 40


@pytest.mark.parametrize("name", TEXTS)
def test_files_named_in_text_exist(name: str) -> None:
    paths = re.findall(
        r"`((?:tests|docs|octovid_django|example_project|constraints|benchmarks)/[^`<…\s]*)`",
        read(name),
    )
    targets = [link.partition("#")[0] for link in links(name)]
    addressed = [
        link.removeprefix(each)
        for link in targets
        for each in (REPOSITORY, PICTURES)
        if link.startswith(each)
    ]
    beside = [
        str((ROOT / name).parent.relative_to(ROOT) / link)
        for link in targets
        if link and "://" not in link
    ]

    assert [each for each in (*paths, *addressed, *beside) if not (ROOT / each).exists()] == []


def test_markdown_files_named_in_code_exist() -> None:
    code = [
        path for folder in ("octovid_django", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    texts = {path.name for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}

    assert {
        (path.name, name)
        for path in code
        for name in re.findall(r"[\w-]+\.md\b", path.read_text("utf-8"))
        if name not in texts
    } == set()


def test_readme_and_contributing_link_to_glossary() -> None:
    assert f"{REPOSITORY}docs/glossary.md" in links("README.md")
    assert "docs/glossary.md" in links("CONTRIBUTING.md")
