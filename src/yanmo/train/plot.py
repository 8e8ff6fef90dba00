"""The loss curve of a run as a picture: `loss.png`, drawn from metrics.jsonl without a display."""

from __future__ import annotations

from pathlib import Path

from yanmo.core.files import read_jsonl


def plot_loss(out: Path) -> Path | None:
    """Draw OUT/loss.png from OUT/metrics.jsonl; None when nothing was logged."""
    rows = list(read_jsonl(out / "metrics.jsonl")) if (out / "metrics.jsonl").is_file() else []
    train = [(row["tokens"], row["loss"]) for row in rows if row.get("loss") is not None and "tokens" in row]
    if not train:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens_at = {row["step"]: row["tokens"] for row in rows if "tokens" in row}
    validation = [
        (tokens_at.get(row["step"], train[-1][0]), row["val_nats_per_token"])
        for row in rows
        if "val_nats_per_token" in row
    ]
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*_columns(train), color="#b8c4d6", linewidth=1, label="batch")
    axes.plot(*_columns(_smooth(train)), color="#1f4e9c", linewidth=2, label="smoothed")
    if validation:
        axes.plot(*_columns(validation), "o-", color="#c2410c", markersize=4, linewidth=1.5, label="validation")
        tokens, nats = validation[-1]
        axes.annotate(f"{nats:.3f}", (tokens, nats), xytext=(0, 8), textcoords="offset points", ha="right")
    axes.set(xlabel="tokens", ylabel="nats / token", title=f"{out.parent.name} / {out.name}")
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(out / "loss.png")
    return out / "loss.png"


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each point the mean of its neighbourhood, a twentieth of the curve at most: centred, so it does not lag."""
    reach = len(points) // 40
    smooth = []
    for index, (x, _) in enumerate(points):
        here = min(reach, index, len(points) - 1 - index)
        around = [y for _, y in points[index - here : index + here + 1]]
        smooth.append((x, sum(around) / len(around)))
    return smooth


def _short(value: float) -> str:
    """1500000 -> 1.5M"""
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"
