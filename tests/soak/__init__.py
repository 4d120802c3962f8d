"""A long run of real clusters under faults: ``python -m tests.soak``, or ``tox -e soak``."""
