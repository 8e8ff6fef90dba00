"""`-{...}-`: what the page says about words that differ between regions, resolved for readers in mainland China.

The grammar is LanguageConverter's (ConverterRule.php): flags before the first |, then rules `variant:word` and
`word=>variant:word` parted by semicolons, or else plain text that must not be converted. The flags: none, R (plain
text), A (show, and apply to the page), H (apply to the page only), T (the title), D (show the rule itself), N (a
variant's name), - (take a rule back).

MediaWiki applies A, H and noteTA to what follows them, because it converts while it reads. Here they apply to the
whole page: they stand at its top except by accident, no author wants a word in two forms on one page, and it is
linear however many rules there are. Groups of words (noteTA's G1, CGroup) live in modules, which are no articles,
and are left to OpenCC.
"""

from __future__ import annotations

import re

from yanmo.text.steps.simplify import KEEP, KEPT
from yanmo.text.wiki.page import STASH, Page, kept, unquoted

SIMPLIFIED = ("zh-cn", "zh-sg", "zh-my", "zh-hans", "zh")
"""Whose word is taken: the first of these that the rule has. Readers of zh-cn see zh-sg's and zh-hans's otherwise."""
TRADITIONAL = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")
REGIONS = {
    "zh-cn": "大陆", "zh-hans": "简体", "zh-hant": "繁体", "zh-tw": "台湾", "zh-hk": "香港", "zh-mo": "澳门",
    "zh-sg": "新加坡", "zh-my": "马来西亚", "zh": "中文",
}  # fmt: skip
VARIANT = "|".join(sorted((*SIMPLIFIED, *TRADITIONAL), key=len, reverse=True))
PARTING = re.compile(rf";(?=\s*(?:{VARIANT})\s*:|[^;]*?=>\s*(?:{VARIANT})\s*:|\s*$)", re.IGNORECASE)
RULE = re.compile(rf"\s*({VARIANT})\s*:(.*)", re.IGNORECASE | re.DOTALL)
FLAGS = frozenset(("a", "t", "r", "d", "-", "h", "n", *SIMPLIFIED, *TRADITIONAL))
UNTOUCHED = re.compile(f"({KEEP}[^{KEEP}{KEPT}]*{KEPT}|{STASH}[0-9]+{STASH})")
MAX_WORDS = 500
"""More rules of a page are not applied: noteTA takes 30, and each is looked for in the whole page."""


class Rule:
    """`words`: variant -> word. `replaced`: variant -> {word: replacement}, for rules of one direction."""

    def __init__(self, text: str):
        self.words: dict[str, str] = {}
        self.replaced: dict[str, dict[str, str]] = {}
        for item in PARTING.split(text):
            if not item.strip():
                continue
            source, arrow, target = item.rpartition("=>")
            match = RULE.fullmatch(target)
            if match is None:  # then all of it is plain text
                self.words, self.replaced = {}, {}
                return
            variant, word = match[1].lower(), match[2].strip()
            if not arrow:
                self.words[variant] = word
            elif source.strip():
                self.replaced.setdefault(variant, {})[source.strip()] = word

    def __bool__(self) -> bool:
        return bool(self.words or self.replaced)

    def shown(self) -> str:
        """What readers in the mainland see; a word that only other regions have is left to OpenCC."""
        for variant in SIMPLIFIED:
            if variant in self.words:
                return kept(self.words[variant])
        for variant in TRADITIONAL:
            if variant in self.words:
                return self.words[variant]
        for variant in SIMPLIFIED:
            if variant in self.replaced:
                return kept(next(iter(self.replaced[variant].values())))
        return next(iter(next(iter(self.replaced.values()))), "")

    def described(self) -> str:
        words = {**self.words, **{variant: next(iter(table.values())) for variant, table in self.replaced.items()}}
        return kept("；".join(f"{REGIONS[variant]}：{word}" for variant, word in words.items()))

    def apply(self, words: dict[str, str]) -> None:
        """Add to a page's words: other regions' -> the mainland's."""
        word = next((self.words[variant] for variant in SIMPLIFIED if variant in self.words), None)
        if word is not None:
            for variant in TRADITIONAL:
                other = self.words.get(variant)
                if other:
                    words[_bare(other)] = _bare(word)
        for variant in reversed(SIMPLIFIED):
            for source, target in self.replaced.get(variant, {}).items():
                words[_bare(source)] = _bare(target)


def _bare(word: str) -> str:
    return unquoted(word.replace(KEEP, "").replace(KEPT, ""))


def resolve(content: str, page: Page) -> str:
    """What stands in the text for `-{content}-`; rules for the page go into `page`."""
    before, bar, text = content.partition("|")
    flags = set()
    if bar:
        flags = {flag.strip().lower() for flag in before.split(";")} & FLAGS
    else:
        text = content
    if "r" in flags:
        return kept(text)
    if "n" in flags:
        return kept(REGIONS.get(text.strip().lower(), ""))
    rule = Rule(text)
    if not rule:
        # With a variant as its flag the text is converted for that one alone.
        return "" if flags & {"h", "-", "t"} else text if flags & {*SIMPLIFIED, *TRADITIONAL} else kept(text)
    if "t" in flags:
        page.shown_title = rule.shown()
    if flags & {"a", "h"}:
        rule.apply(page.words)
    if "-" in flags:
        gone: dict[str, str] = {}
        rule.apply(gone)
        for word in gone:
            page.words.pop(word, None)
    if "d" in flags:
        return rule.described()
    if flags & {"h", "-"} or flags == {"t"}:
        return ""
    return rule.shown()


def with_words(text: str, words: dict[str, str]) -> str:
    """`text` with the page's own words; they are as the page wants them and are kept so."""
    usual = list(words)[:MAX_WORDS]
    found = sorted((word for word in usual if word and word in text), key=len, reverse=True)
    if not found:
        return text
    pattern = re.compile("|".join(map(re.escape, found)))
    parts = UNTOUCHED.split(text)
    parts[::2] = [pattern.sub(lambda match: kept(words[match[0]]), part) for part in parts[::2]]
    return "".join(parts)
