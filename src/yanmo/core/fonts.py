"""Fonts with Chinese characters, as Linux, Windows and macOS have them, for pictures."""

from __future__ import annotations

import re

CHINESE = re.compile(
    "CJK|Source Han|WenQuanYi|SimHei|SimSun|YaHei|PingFang|Heiti|Songti|Hiragino Sans GB|AR PL|Droid Sans Fallback|"
    "FangSong|KaiTi|LXGW|Sarasa|Unifont|Arial Unicode",
    re.IGNORECASE,
)


def chinese_fonts() -> list[str]:
    """Names of those that matplotlib finds, in order of the alphabet."""
    from matplotlib import font_manager

    return sorted({font.name for font in font_manager.fontManager.ttflist if CHINESE.search(font.name)})
