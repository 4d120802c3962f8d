import os
from importlib import import_module

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self) -> None:
        import_module("shop.receivers").connect()
        # By which the gateway knows who polls; the key is the same for all.
        transport = import_module("octovid_django.transport")
        transport.USER_AGENT = os.environ.get("SOAK_CLUSTER", transport.USER_AGENT)
