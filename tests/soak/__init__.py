"""A long run of real clusters under fire: ``python -m tests.soak``, or ``tox -e soak``."""
