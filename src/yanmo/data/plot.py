"""A corpus as a picture: `statistics.png`, how long its documents are and where its tokens come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yanmo.core.fonts import chinese_fonts
from yanmo.data.documents import JSONL
from yanmo.data.statistics import SourceStatistics

BARS, FEW = 16, 4
BLUE, PALE = "#1f4e9c", "#b8c4d6"


def plot_statistics(file: Path, title: str, histogram: dict[int, int], sources: Sequence[SourceStatistics]) -> None:
    """Draw the histogram of tokens a document beside the tokens by source, without a display."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chinese = chinese_fonts()
    with matplotlib.rc_context({"font.family": ["DejaVu Sans", *chinese[:1]]}):
        figure = Figure(figsize=(12, 5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        lengths = [length for length, count in histogram.items() if count]
        shown = [length for length in histogram if not lengths or lengths[0] <= length <= lengths[-1]]
        left.bar([str(length) for length in shown], [histogram[length] for length in shown], width=0.9, color=BLUE)
        left.set(title="Length of documents", xlabel="tokens, from", ylabel="documents")
        left.tick_params(axis="x", rotation=45)
        left.yaxis.set_major_formatter(lambda value, _: short(value))
        largest = sorted(sources, key=lambda source: -max(source.train_tokens, source.tokens))[:BARS]
        names = [_printable(source.source, number, bool(chinese)) for number, source in enumerate(largest, 1)]
        places = range(len(largest))
        right.barh(places, [source.tokens for source in largest], height=0.75, color=PALE, label="in the corpus, once")
        right.barh(places, [source.train_tokens for source in largest], height=0.4, color=BLUE, label="for training")
        right.set_yticks(places, names)
        right.set_ylim(max(len(largest), FEW) - 0.5, -0.5)  # one source alone is a bar, not a wall
        right.set(title="Tokens by source", xlabel="tokens")
        right.xaxis.set_major_formatter(lambda value, _: short(value))
        right.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
        for axes, along in ((left, "y"), (right, "x")):
            axes.grid(axis=along, alpha=0.25)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(title)
        figure.savefig(file)


def _printable(name: str, number: int, chinese: bool) -> str:
    """A short name; without a Chinese font a number in place of one that would be a row of boxes."""
    name = JSONL.sub("", name)
    name = name if len(name) <= 24 else f"…{name[-23:]}"
    return name if chinese or name.isascii() or (name.startswith("…") and name[1:].isascii()) else f"source {number}"


def short(value: float) -> str:
    """1500000 -> 1.5M"""
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.4g}"
