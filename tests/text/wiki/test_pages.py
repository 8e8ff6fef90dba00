"""The golden suite: small pages as zhwiki has them, with the text that readers see."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanmo.text.steps.normalise import normalise
from yanmo.text.steps.simplify import simplifier
from yanmo.text.wiki.article import plain_text
from yanmo.text.wiki.page import RESERVED, Page

PAGES = (Path(__file__).parent / "pages.txt").read_text(encoding="utf-8").split("\n######## ")[1:]


def test_there_are_enough() -> None:
    names = [page.partition("\n")[0] for page in PAGES]
    assert len(set(names)) == len(names) >= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.partition("\n")[0])
def test_page(page: str) -> None:
    name, _, rest = page.partition("\n")
    wikitext, _, expected = rest.partition("\n>>>>>>>>\n")
    text = plain_text(wikitext, Page(name))
    shown = simplifier("tw2s")(text)
    assert shown == expected.strip("\n")
    assert not any(mark in shown for mark in RESERVED)
    # Where nothing is converted, normalisation takes the marks.
    unconverted = normalise(text)
    assert isinstance(unconverted, str) and not any(mark in unconverted for mark in RESERVED)
