"""A gateway on loopback, for demos and tests: the documented calls, without generating videos.

    with Sandbox() as sandbox:
        task_id = sandbox.create(run_seconds=0.2)
        ...  # with OCTOVID = {"BASE_URL": sandbox.url, "API_KEY": sandbox.api_key}

Its tasks are in memory, and gone when it stops. ``manage.py octovid_sandbox`` runs one by itself.
"""

from octovid_django.sandbox.gateway import Sandbox

__all__ = ["Sandbox"]
