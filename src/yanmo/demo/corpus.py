"""Everything the demo reads, written into one folder: documents, conversations and the questions of the test.

corpus.jsonl         {"text", "source", "id"}: documents for pretraining, with some dirt among them
conversations.jsonl  {"messages"}: for fine-tuning
preferences.jsonl    {"messages", "chosen", "rejected"}: pairs of true answers, one of which says more
questions.jsonl      {"messages", "accepted", "rivals", "kind", "level"}: the test, disjoint from all of them
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.core.files import write_jsonl
from yanmo.demo.conversations import Conversations, Messages, Question
from yanmo.demo.dirt import dirty_rows
from yanmo.demo.documents import Documents
from yanmo.demo.phrases import Language
from yanmo.demo.world import World, build_world
from yanmo.text.preferences import Preference

DIRT = 0.06
"""Share of dirty rows."""


@dataclass
class Corpus:
    world: World
    documents: list[str]
    conversations: list[Messages]
    preferences: list[Preference]
    questions: list[Question]


def build_corpus(seed: int, characters: int, conversations: int, preferences: int, per_kind: int) -> Corpus:
    """The whole demo corpus.

    `characters`: of clean documents; `conversations`, `preferences`: how many; `per_kind`: test questions of each kind
    and level.
    """
    world = build_world(seed)
    language = Language(world, seed)
    documents: list[str] = []
    size = 0
    talks = Conversations(world, language, seed)
    for text in Documents(world, language, talks, seed):
        documents.append(text)
        size += len(text)
        if size >= characters:
            break
    training, pairs = list(talks.training(conversations)), list(talks.preferences(preferences))
    asked = [*training, *(pair.messages for pair in pairs)]
    return Corpus(world, documents, training, pairs, unseen(talks.test(per_kind), documents, asked))


def user_turns(messages: Messages) -> str:
    return "\n".join(message["content"].rstrip("？。") for message in messages if message["role"] == "user")


def unseen(questions: Iterable[Question], documents: list[str], conversations: list[Messages]) -> list[Question]:
    """The questions whose text stands nowhere in the training data; repeated ones are kept once.

    One turn must not occur inside any document or turn; of several turns, which must refer to each other, the row
    as a whole must not have been asked.
    """
    asked = {user_turns(messages[: i + 1]) for messages in conversations for i in range(len(messages))}
    everything = "\n".join([*documents, *asked])
    kept: dict[str, Question] = {}
    for question in questions:
        key = user_turns(question.messages)
        if key not in asked and (len(question.messages) > 1 or key not in everything):
            kept.setdefault(key, question)
    return list(kept.values())


def majority(questions: list[Question]) -> float:
    """Share right of the best answers that do not look at the question but only at its kind."""
    by_kind: dict[str, Counter[str]] = {}
    for question in questions:
        by_kind.setdefault(question.kind, Counter()).update(question.accepted)
    return sum(counts.most_common(1)[0][1] for counts in by_kind.values()) / len(questions)


def write_corpus(corpus: Corpus, folder: Path, seed: int) -> dict[str, Any]:
    """Write the four files; returns their counts."""
    rng = random.Random(f"dirt {seed}")
    dirt = dirty_rows(corpus.documents, round(len(corpus.documents) * DIRT), rng)
    rows = [*corpus.documents, *(text for _, text in dirt)]
    rng.shuffle(rows)
    folder.mkdir(parents=True, exist_ok=True)
    with write_jsonl(folder / "corpus.jsonl") as out:
        for number, text in enumerate(rows):
            out.write({"text": text, "source": "墨溪镇", "id": f"demo-{number:06d}"})
    with write_jsonl(folder / "conversations.jsonl") as out:
        for messages in corpus.conversations:
            out.write({"messages": messages})
    with write_jsonl(folder / "preferences.jsonl") as out:
        for pair in corpus.preferences:
            out.write(pair._asdict())
    with write_jsonl(folder / "questions.jsonl") as out:
        for question in corpus.questions:
            out.write(question.row())
    return {
        "documents": len(rows), "dirty": len(rows) - len(corpus.documents),
        "characters": sum(map(len, corpus.documents)), "conversations": len(corpus.conversations),
        "preferences": len(corpus.preferences), "questions": len(corpus.questions),
        "people": len(corpus.world.people), "facts": len(corpus.world.facts),
    }  # fmt: skip
