"""Headings, and the sections that are cut: references, notes, links. By the whole heading, never by its beginning:
参考系 is physics. A cut section ends at the next heading of its level; what follows is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

HEADING = re.compile(r"\n(=[^\n]*=)[ \t]*(?=\n|\Z)")
DEEPEST = 6
CUT = frozenset(
    """
    参考 參考 参考文献 參考文獻 参考文献列表 參考文獻列表 参考资料 參考資料 参考来源 參考來源 参考书目 參考書目
    参考书籍 參考書籍 参考网站 參考網站 参考网页 參考網頁 参考链接 參考連結 参考连结 参考連結 参考数据 參考數據
    参考文档 參考文檔 参考注释 參考註釋 参考注解 參考註解 参考与注释 參考與註釋 参考文献及注释 參考文獻及註釋
    参考文献与注释 參考文獻與註釋 参考资料与注释 參考資料與註釋 参考资料及注释 參考資料及註釋 参考和注释 注释 註釋
    注釋 註释 注解 註解 注脚 註腳 脚注 腳註 腳注 脚註 附注 附註 注 註 注记 註記 尾注 尾註 注释与参考文献
    註釋與參考文獻 注释和参考文献 註釋和參考文獻 注释及参考文献 註釋及參考文獻 注释与参考资料 註釋與參考資料
    注释与参考 註釋與參考 注释和参考 注释与来源 註釋與來源 引用资料 引用資料 引用来源 引用來源 引用文献 引用文獻 引注
    引註 资料来源 資料來源 参见 參見 参看 參看 参阅 參閱 另见 另見 另参见 另參見 另请参见 另請參見 另请参阅 另請參閱
    另参 另參 请参见 請參見 相关条目 相關條目 相关页面 相關頁面 相关链接 相關連結 相关连结 相關鏈接 内部链接 內部連結
    內部链接 内部連結 外部链接 外部鏈接 外部連結 外部连结 外部链結 外部連接 外部连接 外部链结 外部網站 外部网站
    外部参考 外部參考 外部链接与参考资料 外部资源 外部資源 官方链接 官方連結 延伸阅读 延伸閱讀 扩展阅读 擴展閱讀
    进阶阅读 進階閱讀 深入阅读 深入閱讀 推荐阅读 推薦閱讀 更多阅读 拓展阅读 References Reference Notes Footnotes
    See_also External_links Further_reading Bibliography Sources
    """.split()
)
"""Not 来源, 出处, 引用, 文献: as often as not these are about where a word or a dish comes from."""


class Section(NamedTuple):
    heading: str
    """Wikitext; empty before the first heading."""
    body: str


def sections(text: str) -> Iterator[Section]:
    """All sections of a page's wikitext but those that are cut."""
    parts = HEADING.split("\n" + text)
    yield Section("", parts[0])
    cut = DEEPEST + 1
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        opening = len(heading) - len(heading.lstrip("="))
        level = min(opening, len(heading) - len(heading.rstrip("=")), DEEPEST, (len(heading) - 1) // 2)
        title = heading[level:-level].strip() if level else ""
        if level > cut:
            continue
        cut = level if title.rstrip("：:").replace(" ", "_") in CUT else DEEPEST + 1
        if cut > DEEPEST:
            yield Section(title, body)
