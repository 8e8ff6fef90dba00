"""A quality classifier trained on the spot: what the user calls good against what he calls bad.

Logistic regression over hashed characters, pairs and triples. Each feature is scaled by how far its frequencies in
the two sides differ (NBSVM, Wang and Manning 2012, https://aclanthology.org/P12-2018), each text to about unit
length. Training is full-batch with Nesterov's momentum: seconds, no random numbers, the same weights every time.
Accuracy is cross-validated: each example is judged by weights that have not seen it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from yanmo.core.files import atomic_open
from yanmo.text.adapters import DOCUMENTS
from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Row
from yanmo.text.files.sources import find_files, look
from yanmo.text.overlap.fold import folded
from yanmo.text.reading import find_format
from yanmo.text.step import Drop, Step
from yanmo.text.steps.normalise import normalise
from yanmo.text.steps.repetition import ngrams

BITS = 18
"""Features are hashed into 2^18: the pairs and triples of a few thousand texts hardly meet."""
LOOKED_AT = 1_000
"""Characters of a document that are judged: its beginning says what it is."""
FEWEST, MOST = 50, 2_000
"""Examples of each side: fewer teach nothing that holds, more nothing new."""
FOLDS = 3
ITERATIONS, STEP = 30, 8.0
"""Texts are about one long and have little in common, so steps far above the 4 that are always safe converge; and
the gradient of this loss is bounded, so none can run away."""
DECAY = 1e-4
"""Weight of the squared norm in the loss: keeps what was seen in a few texts from deciding."""


@dataclass(frozen=True)
class Classifier:
    weights: np.ndarray
    """float32, one per feature."""
    bias: float
    accuracy: float
    """Cross-validated, the mean of both sides': 0.5 is chance."""

    def probability(self, text: str) -> float:
        """That the text is one of the good."""
        found = features(text)
        logit = float(self.weights.take(found).sum()) / math.sqrt(len(found)) + self.bias
        return 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))

    def save(self, path: Path) -> None:
        numbers = np.array([self.bias, self.accuracy])
        with atomic_open(path) as file:
            file.write(save({"weights": self.weights, "bias_accuracy": numbers}))


def load(path: Path) -> Classifier:
    """Raises: ValueError: the file is none that `save` wrote."""
    try:
        with safe_open(path, "numpy") as file:
            weights, numbers = file.get_tensor("weights"), file.get_tensor("bias_accuracy")
    except SafetensorError as error:
        raise ValueError(f"{path}: not a quality classifier: {error}") from None
    if weights.shape != (1 << BITS,):
        raise ValueError(f"{path}: {weights.shape} weights instead of {1 << BITS}")
    return Classifier(weights, *numbers.tolist())


def read_examples(paths: list[Path]) -> list[str]:
    """The documents of files and folders in any format, normalised; broken rows are skipped.

    Raises: ValueError: a file is missing or its format is unknown.
    """
    texts = []
    for path, name in find_files(paths):
        source = look(path, name)
        known = DOCUMENTS[find_format(source, DOCUMENTS)]
        for row in read_rows(source):
            if isinstance(row, Row):
                text = row.value if isinstance(row.value, str) else known.read(row.value)
                text = text if isinstance(text, Drop) else normalise(text)
                if isinstance(text, str):
                    texts.append(text)
    return texts


def good_enough(classifier: Classifier, least: float) -> Step:
    """Keep documents that are good with a probability of at least `least`."""

    def step(text: str) -> str | Drop:
        probability = classifier.probability(text)
        return text if probability >= least else Drop("low_quality", f"good with a probability of {probability:.2f}")

    return step


def train(good: Sequence[str], bad: Sequence[str]) -> Classifier:
    """The classifier that tells these texts apart.

    Raises: ValueError: too few examples.
    """
    for name, texts in (("good", good), ("bad", bad)):
        if len(texts) < FEWEST:
            raise ValueError(f"--{name}-examples: {len(texts)} documents; give at least {FEWEST}")
    good, bad = _spread(good), _spread(bad)
    examples = Examples([*good, *bad], np.array([1.0] * len(good) + [0.0] * len(bad), np.float32))
    right = np.zeros(len(examples.labels), bool)
    for fold in range(FOLDS):
        held_out = np.arange(len(right)) % FOLDS == fold
        weights, bias = examples.fit(~held_out)
        predicted = examples.logits(weights) + bias > 0
        right |= held_out & (predicted == (examples.labels > 0.5))
    accuracy = (right[: len(good)].mean() + right[len(good) :].mean()) / 2
    return Classifier(*examples.fit(np.ones(len(right), bool)), accuracy=float(accuracy))


class Examples:
    """Texts as one array of features, cut into texts by `starts`; features of a single text teach nothing and go."""

    def __init__(self, texts: Iterable[str], labels: np.ndarray):
        self.labels = labels
        found = [features(text) for text in texts]
        self._roots = np.sqrt([len(indices) for indices in found])
        texts_with = np.bincount(np.concatenate(found), minlength=1 << BITS)
        shared = [indices[texts_with[indices] > 1] for indices in found]
        self._lengths = np.array([len(indices) for indices in shared])
        self._ends = np.cumsum(self._lengths)
        self._features = np.concatenate(shared)

    def logits(self, weights: np.ndarray) -> np.ndarray:
        """What each text gets from weights as `Classifier` has them, without the bias."""
        sums = np.concatenate(([0.0], np.cumsum(weights[self._features], dtype=np.float64)))
        return (sums[self._ends] - sums[self._ends - self._lengths]) / self._roots

    def fit(self, used: np.ndarray) -> tuple[np.ndarray, float]:
        """Minimise the mean logistic loss of the examples `used`, both sides weighing the same."""
        good = self.labels > 0.5
        share = used / np.where(good, 2 * (used & good).sum(), 2 * (used & ~good).sum())
        scale = self._leaning(share * good) - self._leaning(share * ~good)
        # Scaled so that a text is about one long.
        scale /= math.sqrt(float(np.mean(scale[self._features] ** 2)) or 1.0)
        weights = ahead = np.zeros((1 << BITS) + 1)
        for iteration in range(ITERATIONS):
            logits = self.logits(ahead[:-1] * scale) + ahead[-1]
            error = share * (1 / (1 + np.exp(-logits)) - self.labels)
            spread = np.repeat(error / self._roots, self._lengths)
            gradient = np.append(np.bincount(self._features, spread, 1 << BITS) * scale, error.sum())
            new = ahead - STEP * (gradient + DECAY * ahead)
            ahead = new + iteration / (iteration + 3) * (new - weights)
            weights = new
        return (weights[:-1] * scale).astype(np.float32), float(weights[-1])

    def _leaning(self, share: np.ndarray) -> np.ndarray:
        """The logarithm of each feature's frequency in the texts that have a `share`, one occurrence added."""
        counts = np.bincount(self._features, np.repeat((share > 0) * 1.0, self._lengths), 1 << BITS) + 1
        return np.log(counts / counts.sum())


def features(text: str) -> np.ndarray:
    """The hashed characters, pairs and triples of the beginning of a text; uint32, ascending, each once."""
    points = folded(text[:LOOKED_AT])
    if not len(points):
        points = np.zeros(1, np.uint32)
    parts = [ngrams(points, n) * np.uint32(2 * n + 1) for n in (1, 2, 3)]
    found = np.sort(np.concatenate(parts) >> np.uint32(32 - BITS))
    return found[np.append(True, found[1:] != found[:-1])]  # numpy's unique takes three times as long


def _spread(texts: Sequence[str]) -> Sequence[str]:
    """At most MOST of the texts, evenly from beginning to end."""
    return [texts[index * len(texts) // MOST] for index in range(MOST)] if len(texts) > MOST else texts
