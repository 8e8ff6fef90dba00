"""Unicode normalisation that changes what nobody sees, and nothing that anybody does.

NFC, never NFKC: NFKC turns ，！？（） into ASCII, ① into 1 and ㎏ into kg, and that is what other pipelines do to
Chinese corpora. Full-width forms, Chinese punctuation, English, code and its indentation stay. Applying it
twice is applying it once.
"""

from __future__ import annotations

import re
import unicodedata

from yanmo.text.step import Drop

NEWLINE = re.compile("[\r\x0b\x0c\x85\u2028\u2029]")
INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x9f"  # controls but tab and newline
    "\u00ad\u180e\u200b\u200c\u2060-\u2064\ufeff"  # soft hyphen, zero-width spaces and joiners, byte order mark
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction marks
    "\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff"  # annotation marks, noncharacters
    "]"
)
UNUSUAL = re.compile(f"[\u200d{NEWLINE.pattern[1:-1]}{INVISIBLE.pattern[1:-1]}]")
"""One look for all of them: most texts have none."""
LONE_JOINER = re.compile("(?<![\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])\u200d")
"""The zero-width joiner is part of an emoji (a family, a profession) and litter anywhere else."""
BLANK_LINES = re.compile("\n{4,}")
"""Two blank lines in a row are usual in code; more say nothing."""


def normalise(text: str) -> str | Drop:
    """`text` in NFC with plain newlines, without invisible characters and trailing spaces."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return Drop("lone_surrogate", f"half of a UTF-16 pair at character {error.start}")
    if UNUSUAL.search(text):
        text = INVISIBLE.sub("", NEWLINE.sub("\n", text.replace("\r\n", "\n")))
        if "\u200d" in text:
            text = LONE_JOINER.sub("", text)
    # rstrip by line, not a regex: `\s+\n` takes quadratic time on a long run of spaces.
    text = "\n".join([line.rstrip() for line in text.split("\n")])
    if "\n\n\n\n" in text:
        text = BLANK_LINES.sub("\n\n\n", text)
    text = text.strip("\n")
    # Last, because removing a character may bring two together that compose.
    text = unicodedata.normalize("NFC", text)
    return text or Drop("empty")
