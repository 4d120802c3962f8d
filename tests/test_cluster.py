from __future__ import annotations

import re
from pathlib import Path

import octovid_django

PACKAGE = Path(octovid_django.__file__).parent


def test_no_module_outside_of_cluster_imports_django_q() -> None:
    importing = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(?:from|import) django_q", path.read_text(), re.MULTILINE)
    }

    assert importing == {"cluster"}
