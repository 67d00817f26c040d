"""The page as it is sent: one document that loads nothing else, with a policy that allows nothing else."""

import base64
import hashlib
import re

from orchestrator.web import dashboard

PAGE = dashboard.page()


def test_the_policy_allows_exactly_the_script_and_style_in_the_page() -> None:
    policy = PAGE.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", PAGE.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", PAGE.html)
    assert not re.findall(r"url\(|@import|import\(|\bimport ", PAGE.html)


def test_no_text_becomes_markup() -> None:
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc"
    assert not re.findall(unsafe, PAGE.html)


def test_no_attribute_holds_a_handler_or_a_style() -> None:
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", PAGE.html, flags=re.DOTALL)
    assert not re.findall(r"\s(?:on\w+|style)=", markup)
