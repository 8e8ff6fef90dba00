"""Forgetting: how likely general text is to the model that fine-tuning starts from, and to the one it ends with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from yanmo.core.device import DTYPES
from yanmo.core.run import Run
from yanmo.evaluate.likelihood import likelihood
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.load import Tokenizer
from yanmo.train.settings import TrainSettings
from yanmo.train.stage import resolve

SHOWN = ("bits_per_character", "nats_per_token", "perplexity")


class Forgetting:
    """The documents of a comparison and what they cost before; `report` measures again.

    model: the one that training starts from. At least --train.eval-tokens are scored, where there are so many.
    Raises: ValueError: there is no document.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        documents: Iterable[list[int]],
        settings: TrainSettings,
        run: Run,
    ) -> None:
        self.tokenizer, self.settings, self.run = tokenizer, resolve(settings), run
        self.documents: list[list[int]] = []
        tokens = 0
        for document in documents:
            self.documents.append(document)
            tokens += len(document)
            if tokens >= settings.eval_tokens:
                break
        if not self.documents:
            raise ValueError("--general: no held-out text to measure forgetting on; name some")
        self.before = self.measure(model)

    def measure(self, model: Transformer) -> dict[str, float]:
        """In the numbers that training runs in."""
        model.to(self.settings.device).eval()
        model.compute_dtype = DTYPES[self.settings.dtype]
        with torch.compiler.set_stance("force_eager"), self.run.progress("general text", None, "tokens") as bar:
            return likelihood(model, self.tokenizer, self.documents, bar.advance).figures()

    def report(self, model: Transformer) -> None:
        """Before and after as a table, and as `general` in report.json."""
        before, after = self.before, self.measure(model)
        self.run.report["general"] = {"before": before, "after": after}
        rows: list[list[Any]] = []
        for name in SHOWN:
            words = name.replace("_per_", "/").replace("_", " ")
            rows.append([words, before[name], after[name], f"{after[name] / before[name] - 1:+.1%}"])
        self.run.table("general text that was held out", ["", "before", "after", "change"], rows)
