"""The addresses of a document's headings."""

import re


def anchors(markdown: str) -> set[str]:
    """Return the addresses of the headings, as GitHub and the site of the documents make them."""
    outside = re.sub(r"^ *```.*?^ *```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return {anchor(title) for title in re.findall(r"^#+ (.*)$", outside, re.MULTILINE)}


def anchor(title: str) -> str:
    """Return the address of one heading."""
    return re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")
