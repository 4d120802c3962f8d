from __future__ import annotations

import pytest

from octovid_django.pages import is_challenge, is_page, page_text

CHALLENGE = (
    b"<!DOCTYPE html><title>Just a moment...</title>Enable JavaScript and cookies to continue"
)
APP = b"<!doctype html><title>Shop</title><noscript>You need to enable JavaScript.</noscript>"


@pytest.mark.parametrize("body", [CHALLENGE, APP, b" \n<!DOCTYPE HTML>"])
def test_body_that_starts_with_html_is_page(body: bytes) -> None:
    assert is_page({}, body)


@pytest.mark.parametrize("body", [b"", b"{}", b"html", b"<htmlx>", b"<xml/>", b'"<html>"'])
def test_body_without_html_is_no_page(body: bytes) -> None:
    assert not is_page({"Content-Type": "application/json"}, body)


def test_body_with_content_type_html_is_page() -> None:
    assert is_page({"Content-Type": "Text/HTML; charset=utf-8"}, b"")


PAGE = {"Content-Type": "text/html"}


def test_cf_mitigated_header_marks_challenge() -> None:
    assert is_challenge(503, {**PAGE, "cf-mitigated": "challenge"}, b"")
    assert "challenge page of the proxy" in page_text({"cf-mitigated": "challenge"}, b"")


def test_html_403_is_challenge_and_html_503_without_script_is_outage() -> None:
    assert is_challenge(403, PAGE, b"<h1>Forbidden</h1>")
    assert not is_challenge(503, PAGE, b"<h1>Down</h1>")
    assert is_challenge(503, PAGE, b"<script>check()</script>")


@pytest.mark.parametrize("text", [CHALLENGE, b"<html>Verify you are human", b"<html>hCaptcha"])
def test_challenge_page_is_recognized_by_its_words(text: bytes) -> None:
    assert "challenge page of the proxy" in page_text(PAGE, text)


@pytest.mark.parametrize(
    "body", [APP, b'{"message": "captcha"}', b"<html>" + b" " * 2**17 + CHALLENGE]
)
def test_page_without_challenge_words_has_no_text(body: bytes) -> None:
    assert page_text({}, body) == ""
