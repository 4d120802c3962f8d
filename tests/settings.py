"""Django's settings while the tests run."""

from __future__ import annotations

import os
from contextlib import suppress

import django
import environ

with suppress(ImportError):  # a driver for MariaDB that needs no compiler
    import pymysql

    pymysql.install_as_MySQLdb()

env = environ.Env()

SECRET_KEY = "tests"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
DATABASES = {"default": env.db("DATABASE_URL", default="sqlite://:memory:")}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_q",
    "octovid_django",
]
SECURE_CSP = {"default-src": ["'self'"]}
MIDDLEWARE = [
    *(["django.middleware.csp.ContentSecurityPolicyMiddleware"] if django.VERSION >= (6,) else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
Q_CLUSTER = {"name": "tests", "timeout": 90, "retry": 120, "workers": 2}
if redis_url := env.str("REDIS_URL", default=""):
    # The tests of other processes do not see these messages.
    Q_CLUSTER |= {"redis": redis_url, "name": f"tests-{os.getpid()}"}
else:
    Q_CLUSTER |= {"orm": "default"}
OCTOVID = {"API_KEY": "sandbox-key", "BASE_URL": "http://127.0.0.1:9"}
