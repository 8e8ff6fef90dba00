"""Comments and tags: first of all, because MediaWiki gives them precedence over templates and links.

Removed with all they hold: comments, references, galleries, HTML tables and the like. Set aside, so that nothing
inside is taken for markup: nowiki, preformatted text, code and formulas. Of other tags only the tag goes. How things
are shown:

- a formula as `$...$`, its source as the author wrote it; chemistry as `$\\ce{...}$`;
- syntaxhighlight as a fenced block with its language; pre as it is; neither it nor code is converted to simplified;
- digits in <sup> as ¹²³, since 10<sup>5</sup> is not 105; all else in <sup> and <sub> as plain text (H2O).

A tag that never closes takes nothing with it, but for <ref>: what follows it directly and is plainly a source goes.
"""

from __future__ import annotations

import re

from yanmo.text.steps.simplify import KEEP, KEPT
from yanmo.text.wiki.page import Page, kept

REMOVED = """
    gallery references imagemap timeline score graph chart hiero mapframe maplink templatestyles templatedata
    indicator inputbox categorytree includeonly section charinsert dynamicpagelist rp style script noscript embedvideo
""".split()
SET_ASIDE = "nowiki pre syntaxhighlight source math chem ce".split()
NEWLINE = """
    br p div center blockquote poem hr ul ol li dl dt dd tr caption h1 h2 h3 h4 h5 h6 table tbody thead
""".split()
NOTHING = """
    span small big sup sub b i u s strike font tt var cite em strong kbd samp bdi bdo del ins abbr dfn mark wbr ruby rb
    rtc q time data noinclude onlyinclude langconvert translate tvar td th onlyinclude
""".split()
SHOWN = {
    **dict.fromkeys(NEWLINE, "\n"),
    **dict.fromkeys(NOTHING, ""),
    **{"td": " ", "th": " ", "code": KEEP, "/code": KEPT, "rt": "（", "/rt": "）"},
}
"""What is written for a tag, by its name or by /name where that differs."""
NAMES = "|".join(sorted({*REMOVED, *SET_ASIDE, *NEWLINE, *NOTHING, "ref", "code", "rt"}, key=len, reverse=True))
TAG = re.compile(rf"<(?:!--|(/?(?:{NAMES}))(?=[\s/>])(?!\s+[^\x00-\x7f])[^<>]*>)", re.IGNORECASE)
"""A comment's beginning, or a tag: `a<b 且 c>d` has none."""
CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in NAMES.split("|")}
REF = re.compile(r"<(/?)ref(?=[\s/>])[^<>]*>", re.IGNORECASE)
PLAIN_REF = re.compile(r"<ref(?:\s[^<>]*)?(?:/>|(?<!/)>[^<]*+</ref>)", re.IGNORECASE)
"""Nine references of ten: without a tag inside. Where none can be an example of markup, they go at the speed of C."""
TABLE = re.compile(r"<(/?)table(?=[\s>])[^<>]*>", re.IGNORECASE)
SUPERSCRIPT = re.compile(r"([0-9+−–-]{1,6})</sup\s*>", re.IGNORECASE)
RAISED = str.maketrans("0123456789+−–-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻")
LANGUAGE = re.compile(r"lang\s*=\s*[\"']?([\w+#-]+)", re.IGNORECASE)
HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
SOURCE = re.compile(r"\s*(?:\{\{[^{}\n]*\}\}|\[[^\[\]\n]*\]|https?://[^\s，。；、<]+)")
LINE = re.compile(r"[^\n<]*")


def without_tags(text: str, page: Page) -> str:
    """`text` without comments and tags, what is set aside stashed in `page`."""
    if "<" not in text:
        return text
    if "<table" in text:
        text = _without_tables(text)
    if "<nowiki>" not in text and "<pre" not in text and "<syntaxhighlight" not in text and "<source" not in text:
        text = PLAIN_REF.sub("", text)
    out: list[str] = []
    unclosed: set[str] = set()
    done = 0
    for tag in TAG.finditer(text):
        start, end = tag.span()
        if start < done:  # inside something that is gone
            continue
        out.append(text[done:start])
        if tag[1] is None:
            close = -1 if "!--" in unclosed else text.find("-->", end)
            if close < 0:
                unclosed.add("!--")
            done = close + 3 if close >= 0 else end
            continue
        name = tag[1].lower()
        if name == "ref":
            done = _after_reference(text, tag)
            continue
        if name == "/ref" or (text[end - 2] == "/" and name not in NEWLINE):
            done = end
            continue
        if name in SET_ASIDE or name in REMOVED or (name in CLOSING and HIDDEN.search(tag[0])):
            closing = None if name in unclosed else CLOSING[name].search(text, end)
            if closing is None:
                unclosed.add(name)
                done = end
                continue
            if name in SET_ASIDE:
                aside = page.stash(_set_aside(name, tag[0], text[end : closing.start()]))
                is_block = name in ("syntaxhighlight", "source") and "inline" not in tag[0]
                out.append(f"\n{aside}\n" if is_block else aside)
            done = closing.end()
            continue
        done = end
        if name == "sup" and (digits := SUPERSCRIPT.match(text, end)):
            out.append(digits[1].translate(RAISED))
            done = digits.end()
            continue
        out.append(SHOWN[name] if name in SHOWN else SHOWN.get(name[1:], ""))
    out.append(text[done:])
    return "".join(out)


def _after_reference(text: str, tag: re.Match[str]) -> int:
    """Where the text goes on after a reference.

    A <ref> before whose end another one begins never ends. Then a template, a link or an address right after it is
    its source, and where it has no name, the rest of the line: `<ref name="a">` for `<ref name="a" />` is a common
    slip.
    """
    end = tag.end()
    if tag[0].endswith("/>"):
        return end
    following = REF.search(text, end)
    while following is not None and not following[1]:
        following = REF.search(text, following.end()) if following[0].endswith("/>") else None
    if following is not None:
        return following.end()
    while source := SOURCE.match(text, end):
        end = source.end()
    if tag[0].lower() == "<ref>" and end == tag.end():
        rest = LINE.match(text, end)
        assert rest is not None
        end = rest.end()
    return end


def _without_tables(text: str) -> str:
    """HTML tables are nested; of one that never closes only the tag goes, later."""
    open_tables: list[int] = []
    spans: list[tuple[int, int]] = []
    for tag in TABLE.finditer(text):
        if not tag[1]:
            open_tables.append(tag.start())
        elif open_tables:
            spans.append((open_tables.pop(), tag.end()))
    out, done = [], 0
    for start, end in sorted(spans):
        if start >= done:
            out.append(text[done:start])
            done = end
    out.append(text[done:])
    return "".join(out)


def _set_aside(name: str, tag: str, content: str) -> str:
    """How readers see what is set aside; formulas and code stay in the characters they are written in."""
    match name:
        case "nowiki":
            return content
        case "math":
            return kept(f"${' '.join(content.split())}$")
        case "chem" | "ce":
            return kept(f"$\\ce{{{' '.join(content.split())}}}$")
        case "pre":
            return kept(content.strip("\n"))
    if "inline" in tag:
        return kept(content)
    language = LANGUAGE.search(tag)
    name = language[1] if language else ""
    fenced = "\n".join((f"```{name}", content.strip("\n"), "```"))
    return kept(fenced)
