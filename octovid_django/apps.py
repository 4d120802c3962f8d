from django.apps import AppConfig
from django.core.checks import register
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from octovid_django.checks import TAG, check_cluster, check_deployment, check_settings
from octovid_django.cluster.schedules import ensure_schedule
from octovid_django.conf import configured
from octovid_django.exceptions import OctovidSettingsError


class OctovidDjangoConfig(AppConfig):
    name = "octovid_django"
    verbose_name = _("OctopusX videos")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and create the schedule after each ``migrate``.

        Raises:
            ImproperlyConfigured: ``OCTOVID`` is not a dict. It may be the key alone, which
                Django's DEBUG pages would show: they hide only names like ``API_KEY``.
        """
        try:
            configured()
        except OctovidSettingsError as error:
            raise ImproperlyConfigured(str(error)) from None
        register(check_settings, TAG)
        register(check_cluster, TAG)
        register(check_deployment, TAG, deploy=True)
        post_migrate.connect(ensure_schedule, sender=self)
