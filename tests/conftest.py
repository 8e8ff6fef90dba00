"""A small tokenizer, shards and model directory made once for every test that needs a real one."""

from __future__ import annotations

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from yanmo.data.shards import ShardWriter
from yanmo.tokenizer.load import Tokenizer, load_tokenizer
from yanmo.tokenizer.save import save_tokenizer
from yanmo.tokenizer.train import train

torch.set_num_threads(1)

# The same examples every time, so that a commit passes or fails whoever runs it (HYPOTHESIS_PROFILE=default draws new
# ones), and no deadline: a machine with other work on it is no fault of the code's.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
VOCABULARY = 512


def small_texts(count: int = 300, seed: int = 0) -> list[str]:
    """Short Chinese documents with enough variety for a vocabulary of a few hundred."""
    generator = random.Random(seed)
    people, places = "张明 李华 王芳 赵强 陈静 刘洋".split(), "北京 上海 江边 山上 学校 市场 图书馆".split()
    things = "苹果 书 猫 信 茶 雨伞 自行车 a cup 3 pencils".split()
    verbs = "买了 看见 喜欢 丢了 找到 画了".split()
    return [
        "".join(
            f"{generator.choice(people)}在{generator.choice(places)}{generator.choice(verbs)}{generator.choice(things)}。"
            for _ in range(generator.randint(2, 6))
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train(small_texts(), VOCABULARY), directory)
    return directory


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir: Path) -> Tokenizer:
    return load_tokenizer(tokenizer_dir)


@pytest.fixture(scope="session")
def shards_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """Token shards of 300 training and 30 validation documents."""
    directory = tmp_path_factory.mktemp("shards")
    with ShardWriter(directory, tokenizer) as writer:
        for split, texts in (("train", small_texts()), ("val", small_texts(30, seed=1))):
            rows = [[*ids, tokenizer.end_id] for ids in tokenizer.encode_batch(texts)]
            writer.splits[split].write(  # type: ignore[index]
                np.concatenate([np.array(row) for row in rows]),
                np.array([len(row) for row in rows]),
                sum(len(text.encode()) for text in texts),
                sum(map(len, texts)),
            )
    return directory
