from django.apps import AppConfig


class GalleryConfig(AppConfig):
    name = "example_project.gallery"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from example_project.gallery import receivers  # noqa: F401, PLC0415  # models come first
