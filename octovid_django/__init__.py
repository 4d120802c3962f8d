"""Video generation tasks of the OctopusX gateway, in Django."""

__version__ = "0.1.0"
