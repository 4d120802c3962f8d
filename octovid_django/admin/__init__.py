"""The tasks, in Django's admin. A site may subclass ``VideoTaskAdmin`` and extend it."""

from octovid_django.admin.gateway import GatewayStateAdmin
from octovid_django.admin.tasks import VideoTaskAdmin

__all__ = ["GatewayStateAdmin", "VideoTaskAdmin"]
