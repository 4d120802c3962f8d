"""A small site that orders videos. What differs between machines is read from the environment.

The variables are ``OCTOVID_API_KEY``, ``OCTOVID_BASE_URL``, ``OCTOVID_POLL_INTERVAL`` (seconds),
``DATABASE_URL`` (SQLite by default), ``REDIS_URL`` (django-q2's broker; by default it is the
database), ``Q_WORKERS``, ``Q_LOG_LEVEL``, ``DEBUG``, ``ALLOWED_HOSTS`` and ``SECRET_KEY`` (in
development one is made, and kept in ``.secret_key``). A file ``.env`` beside ``manage.py`` is read
too.
"""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from example_project.secret_key import kept_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured("Set SECRET_KEY in the environment: DEBUG is off.")
    SECRET_KEY = kept_secret_key(BASE_DIR / ".secret_key")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_q",
    "octovid_django",
    "example_project.gallery",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Several processes write: readers do not block, and a writer waits for its turn.
    DATABASES["default"]["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"

OCTOVID = {
    "API_KEY": env.str("OCTOVID_API_KEY", default=""),
    "BASE_URL": env.str("OCTOVID_BASE_URL", default="https://octopusx.ai"),
    "POLL_INTERVAL": env.float("OCTOVID_POLL_INTERVAL", default=15),
}

Q_CLUSTER = {
    "name": "example",
    "workers": env.int("Q_WORKERS", default=2),
    "timeout": 90,
    "retry": 120,
    "catch_up": False,
    "log_level": env.str("Q_LOG_LEVEL", default="INFO"),
}
if redis_url := env.str("REDIS_URL", default=""):
    Q_CLUSTER["redis"] = redis_url
else:
    Q_CLUSTER["orm"] = "default"
