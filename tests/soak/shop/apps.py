import os
from importlib import import_module

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self) -> None:
        import_module("shop.receivers").connect()
        # By which the gateway knows who polls; the key is the same for all.
        client = import_module("octovid_django.client")
        client.USER_AGENT = os.environ.get("SOAK_CLUSTER", client.USER_AGENT)
