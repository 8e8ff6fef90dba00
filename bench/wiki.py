"""Wikipedia's markup to text, side by side with gensim's `filter_wiki`: speed, and what is kept and leaked.

    python bench/wiki.py [--pages 1500] [--rounds 3] [--gensim-python /path/to/python]

The dump is made here: articles with what zhwiki's have, in about its proportions. Every piece of content carries a
sentinel of its own, so what is kept and what leaks is counted, not judged. Generator and scanner come from the same
hand: 100 % shows that a kind of content is handled, not that every page of zhwiki is. The contestants take turns in
processes of their own; rates are MB of wikitext (UTF-8) per CPU-second of the process, best round. gensim is not among
our dependencies: give an interpreter that has it. Prints markdown tables for bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import bz2
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

KEPT = "prose link heading dates language interlanguage inline quotation list conversion external after title".split()
LEAKED = (
    """conversion ref ref_unusual file gallery table infobox navbox category ref_section comment hidden_rule""".split()
)
CLAUSES = """
    該地區氣候溫和濕潤 年平均氣溫約為十五度 降水量充沛 農業以水稻種植為主 也出產茶葉與柑橘 近年來旅遊業發展迅速
    他在大學任教多年 並發表了多篇論文 研究成果受到國際學界的重視 這座橋樑於十九世紀末動工 工程歷時七年才告完成
    期間曾因戰爭而中斷 该系统采用分布式架构 能够同时处理大量请求 用户可以通过网络访问其服务
    该作品讲述了一个年轻人离开家乡的故事 受到评论界的广泛好评 并获得多项奖项 目前由当地政府负责管理
    每年吸引大量游客前来参观 其历史可以追溯到唐代 后来在明代得到重建 学者们对此有不同的看法
""".split()


class Writer:
    """Writes pages, and sentinels with a kind and whether they are to be seen."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.kinds: dict[str, tuple[str, bool]] = {}

    def mark(self, kind: str, seen: bool) -> str:
        name = f"Zq{len(self.kinds):07}x"
        self.kinds[name] = (kind, seen)
        return name

    def kept(self, kind: str) -> str:
        return self.mark(kind, True)

    def gone(self, kind: str) -> str:
        return self.mark(kind, False)

    def prose(self, sentences: int) -> str:
        out = []
        for _ in range(sentences):
            clauses = self.random.choices(CLAUSES, k=self.random.randint(2, 4))
            if self.random.random() < 0.5:
                word = self.random.choice(["降水", "農業|農業生產", "茶葉", "歷史|当地历史", "大學"])
                clauses[0] = f"[[{word}]]{clauses[0]}"
            if self.random.random() < 0.15:
                clauses.append(f"[[{self.random.choice(CLAUSES)[:4]}|{self.kept('link')}]]")
            out.append("，".join(clauses) + "。" + (self.reference() if self.random.random() < 0.35 else ""))
        return "".join(out)

    def reference(self) -> str:
        a, b = self.gone("ref"), self.gone("ref")
        unusual = self.gone("ref_unusual")
        address = f"http://www.example.com/{self.random.randint(1, 10**6)}/index.html"
        return self.random.choices(
            [
                f"<ref>{{{{cite web|url={address}|title={a}|accessdate=2015-03-07|publisher={b}}}}}</ref>",
                f'<ref name="{a}">{{{{Cite book|author=王某|title={b}|publisher=出版社|year=1998}}}}</ref>',
                f'<ref name="{a}" />',
                f"<ref>[{address} {a}]<nowiki/>{unusual}</ref>",
                f"<ref group=注>{unusual}<br/>{a}</ref>",
            ],
            (6, 3, 3, 1, 1),
        )[0]

    def special(self) -> str:
        k, g = self.kept, self.gone
        choices = [
            lambda: f"{{{{lang-en|{k('language')}}}}}",
            lambda: f"{{{{langx|de|{k('language')}}}}}",
            lambda: f"{{{{lang|fr|{k('language')}}}}}",
            lambda: f"{{{{le|{k('interlanguage')}|Foreign title}}}}",
            lambda: f"{{{{link-en|{k('interlanguage')}|Foreign}}}}",
            lambda: f"{{{{tsl|ja|外部|{k('interlanguage')}}}}}",
            lambda: f"{{{{ill|{k('interlanguage')}|en|Foreign}}}}",
            lambda: f"{{{{nowrap|{k('inline')} 公里}}}}",
            lambda: f"H{{{{sub|{k('inline')}}}}}O",
            lambda: f"{{{{color|red|{k('inline')}}}}}",
            lambda: f"{{{{convert|12|km|mi}}}}{{{{small|（{k('inline')}）}}}}",
            lambda: f"{{{{地区用词|cn={k('inline')}|tw={k('inline')}}}}}",
            lambda: f"-{{zh-cn:{k('conversion')};zh-tw:{g('conversion')};zh-hk:{g('conversion')};}}-",
            lambda: f"-{{zh-hans:{k('conversion')}; zh-hant:{g('conversion')}}}-",
            lambda: f"-{{H|zh-cn:甲乙丙;zh-tw:{g('hidden_rule')};}}-",
            lambda: f"-{{R|{k('conversion')}}}-",
            lambda: f"-{{{k('conversion')}}}-",
            lambda: f"[http://example.org/{self.random.randint(1, 999)} {k('external')}]",
            lambda: f"<math>x_{{1}}^{{{{2}}}} + \\frac{{a}}{{b}}</math>{k('after')}",
            lambda: f"<!-- {'{{' if self.random.random() < 0.05 else ''} {g('comment')} -->{k('after')}",
            lambda: f"'''{k('prose')}'''&nbsp;''{k('prose')}''",
        ]
        return self.random.choice(choices)()

    def infobox(self) -> str:
        rows = "\n".join(
            f"| 参数{n} = {self.random.choice(CLAUSES)}{self.gone('infobox')} [[条目{n}]]" for n in range(12)
        )
        name = f"| name = {self.gone('infobox')}\n| image = {{{{multiple image|a=b}}}}"
        return f"{{{{Infobox settlement\n{name}\n{rows}\n}}}}\n"

    def table(self) -> str:
        inner = f"{{|\n| {self.gone('table')}\n|}}\n" if self.random.random() < 0.3 else ""
        rows = "\n".join(f"|-\n| {self.gone('table')} || [[{n}年]] || {self.random.randint(1, 999)}" for n in range(8))
        return f'{{| class="wikitable"\n! 甲 !! 乙 !! 丙\n{rows}\n|-\n|\n{inner}|}}\n'

    def section(self) -> str:
        k, g = self.kept, self.gone
        parts = [f"== {k('heading')} ==\n"]
        for _ in range(self.random.randint(1, 4)):
            parts.append(self.prose(self.random.randint(2, 6)) + self.special() + self.prose(1) + "\n\n")
        extra = self.random.random()
        if extra < 0.2:
            caption = f"{g('file')}[[條目|{g('file')}]]{{{{le|甲|B}}}}"
            name = self.random.choice(["File", "Image", "文件", "檔案"])
            parts.insert(1, f"[[{name}:Picture {len(self.kinds)}.jpg|thumb|200px|{caption}]]\n")
        elif extra < 0.3:
            parts.append(f"<gallery>\nFile:A.jpg|{g('gallery')}\nFile:B.jpg|{g('gallery')} [[c]]\n</gallery>\n")
        elif extra < 0.45:
            parts.append(self.table())
        elif extra < 0.65:
            parts.append("".join(f"* [[項目{n}]]：{k('list')}{self.prose(1)}\n" for n in range(5)))
        elif extra < 0.75:
            parts.append(f"{{{{quote|{k('quotation')}|{k('quotation')}}}}}\n")
        elif extra < 0.8:
            parts.append(f"=== {k('heading')} ===\n{{{{cquote|{k('quotation')}}}}}\n{self.prose(2)}\n")
        elif extra < 0.82:
            parts.append(f"{{{{nowrap|没有结束 {k('after')}\n\n{self.prose(2)}{k('after')}\n")
        return "".join(parts)

    def article(self) -> tuple[str, str]:
        k, g = self.kept, self.gone
        title = f"條目{k('title')}"
        dates = self.random.choice(
            [
                lambda: f"{{{{bd|{k('dates')}年|11月7日|{k('dates')}年|7月4日|catIdx=A}}}}",
                lambda: f"{{{{BD|{k('dates')}年|11月7日|{k('dates')}年|7月4日}}}}",
                lambda: f"{{{{生卒|{k('dates')}年|11月7日|{k('dates')}年|7月4日}}}}",
                lambda: f"{{{{birth date|{k('dates')}|12|26}}}}",
                lambda: f"{{{{Birth date and age|{k('dates')}|1|2|df=y}}}}",
                lambda: f"{{{{death date and age|{k('dates')}|9|9|1893|12|26}}}}",
                lambda: f"{k('dates')}年1月2日－{k('dates')}年3月4日",
            ]
        )()
        parts = ["{{noteTA|1=zh-cn:甲乙;zh-tw:丙丁戊;|G1=IT}}\n"] if self.random.random() < 0.3 else []
        if self.random.random() < 0.5:
            parts.append(self.infobox())
        lead = f"'''{title}'''（{{{{lang-en|{k('language')}}}}}，{dates}）是{self.prose(3)}\n\n"
        parts.append(lead + "".join(self.section() for _ in range(self.random.randint(1, 6))))
        parts.append(f"== 参考系 ==\n{self.prose(1)}{k('after')}\n")
        for heading in self.random.sample(["參考文獻", "外部連結", "延伸阅读", "参见"], 2):
            parts.append(f"== {heading} ==\n{{{{reflist}}}}\n* {g('ref_section')} [http://a.b/ {g('ref_section')}]\n")
        if self.random.random() < 0.2:
            parts.append(f"== {k('heading')} ==\n{self.prose(1)}{k('after')}\n")
        parts.append(f"{{{{Navbox|name=x|list1=[[甲]]{{{{·}}}}{g('navbox')}{{{{·}}}}[[乙]]{g('navbox')}}}}}\n")
        parts += [f"[[{name}:{g('category')}]]\n" for name in ("Category", "分类", "分類", "Category")]
        return title, "".join(parts)


def write_dump(path: Path, pages: int, seed: int) -> dict[str, tuple[str, bool]]:
    """A multistream dump with a redirect behind each article; what its sentinels are."""
    writer = Writer(seed)
    streams = ['<mediawiki xml:lang="zh">\n  <siteinfo></siteinfo>\n']
    for number in range(pages):
        if number % 100 == 0:
            streams.append("")
        title, text = writer.article()
        for redirect, body in (("", text), (f'    <redirect title="{title}" />\n', f"#REDIRECT [[{title}]]")):
            streams[-1] += (
                f"  <page>\n    <title>{escape(title)}</title>\n    <ns>0</ns>\n    <id>{number + 1}</id>\n{redirect}"
                f'    <revision>\n      <text xml:space="preserve">{escape(body)}</text>\n    </revision>\n  </page>\n'
            )
    path.write_bytes(b"".join(bz2.compress(part.encode()) for part in (*streams, "</mediawiki>\n")))
    return writer.kinds


def ours() -> Callable[[str], str]:
    from yanmo.text.wiki.article import plain_text
    from yanmo.text.wiki.page import Page

    return lambda text: plain_text(text, Page("條目"))


def ours_simplified() -> Callable[[str], str]:
    from yanmo.text.steps.simplify import simplifier

    text_of, simplify = ours(), simplifier("tw2s")
    return lambda text: str(simplify(text_of(text)))


def gensim() -> Callable[[str], str]:
    from gensim.corpora.wikicorpus import filter_wiki

    return filter_wiki


CONTESTANTS = {"yanmo": ours, "yanmo, then OpenCC tw2s": ours_simplified, "gensim filter_wiki": gensim}


def work(name: str, pages: Path, out: Path) -> None:
    """One contestant's round: seconds on the last line."""
    texts = json.loads(pages.read_text(encoding="utf-8"))
    extract = CONTESTANTS[name]()
    extract(texts[0])
    start = time.process_time()
    results = [extract(text) for text in texts]
    seconds = time.process_time() - start
    out.write_text(json.dumps(results), encoding="utf-8")
    print(seconds)


def articles(dump: Path) -> list[tuple[str, str]]:
    from yanmo.text.files.readers import read_rows
    from yanmo.text.files.rows import Row
    from yanmo.text.files.sources import look

    rows = [row.value for row in read_rows(look(dump)) if isinstance(row, Row)]
    return [(row["title"], row["wikitext"]) for row in rows if isinstance(row, dict) and not row["redirect"]]


def reading(dump: Path, rounds: int) -> tuple[float, float, float]:
    """MB of XML; the MB per CPU-second of the bz2 module alone, and of reading the dump as rows: best rounds."""
    from yanmo.text.files.readers import read_rows
    from yanmo.text.files.sources import look

    compressed = dump.read_bytes()
    size = len(bz2.decompress(compressed)) / 1e6

    def rate(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return size / (time.process_time() - start)

    def rows() -> int:
        return sum(1 for _ in read_rows(look(dump)))

    return (
        size,
        max(rate(lambda: bz2.decompress(compressed)) for _ in range(rounds)),
        max(rate(rows) for _ in range(rounds)),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gensim-python")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], Path(options.work[1]), Path(options.work[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        dump, pages, out = (Path(folder) / name for name in ("zhwiki.xml.bz2", "pages.json", "out.json"))
        kinds = write_dump(dump, options.pages, seed=1)
        found = articles(dump)
        assert len(found) == options.pages, "pages were lost in reading"
        pages.write_text(json.dumps([text for _, text in found]), encoding="utf-8")
        megabytes = sum(len(text.encode()) for _, text in found) / 1e6
        size, plain, rate = reading(dump, options.rounds)
        print(
            f"{options.pages} articles, {size:.1f} MB of XML, {megabytes:.1f} MB of wikitext, {len(kinds):,} sentinels"
        )
        print(f"\nMB of XML per CPU-second: bz2 alone {plain:.1f}, dump to rows {rate:.1f}\n")
        best: dict[str, float] = {}
        kept: dict[str, Counter[tuple[str, bool]]] = {}
        for _ in range(options.rounds):
            for name in CONTESTANTS:
                python = options.gensim_python if name.startswith("gensim") else sys.executable
                if python is None:
                    continue
                command = [python, __file__, "--work", name, str(pages), str(out)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                best[name] = max(best.get(name, 0.0), megabytes / float(done.stdout.split()[-1]))
                everything = "\n".join(json.loads(out.read_text(encoding="utf-8")) + [title for title, _ in found])
                marks = seen(everything)
                kept[name] = Counter(kind for mark, kind in kinds.items() if mark in marks)
    total = Counter(kinds.values())
    print("| | MB/s | " + " | ".join(f"{kind} kept %" for kind in KEPT) + " |")
    print("|---|---|" + "---|" * len(KEPT))
    for name, rate in best.items():
        cells = [f"{100 * kept[name][kind, True] / total[kind, True]:.0f}" for kind in KEPT]
        print(f"| {name} | {rate:.1f} | {' | '.join(cells)} |")
    print("\n| leaked, % | " + " | ".join(LEAKED) + " |")
    print("|---|" + "---|" * len(LEAKED))
    for name in best:
        cells = [f"{100 * kept[name][kind, False] / total[kind, False]:.0f}" for kind in LEAKED]
        print(f"| {name} | {' | '.join(cells)} |")


def seen(text: str) -> frozenset[str]:
    """All sentinels in a text."""
    import re

    return frozenset(re.findall("Zq[0-9]{7}x", text))


if __name__ == "__main__":
    main()
