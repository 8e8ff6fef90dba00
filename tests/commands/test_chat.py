"""yanmo chat with lines piped in: answers, memory, commands, and a history that is cut in whole turns."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import VOCABULARY
from yanmo.cli import run
from yanmo.commands.chat import Settings, Speaker, answer, show
from yanmo.model.checkpoint import save_model, stop_ids
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.chat import Message, render
from yanmo.tokenizer.load import Tokenizer

CONTEXT = 96


@pytest.fixture(scope="module")
def model_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                         max_position_embeddings=CONTEXT)  # fmt: skip
    directory = tmp_path_factory.mktemp("model")
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


def chat(model: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))
    return run(["chat", "--model", str(model), "--device", "cpu", "--max-new-tokens", "8", *more])


def test_only_answers_are_printed_into_a_pipe(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(model_dir, ["你好", "", "再见", "/help", "/clear", "你好", "/exit", "你好"], monkeypatch) == 0
    output = capsys.readouterr().out.splitlines()
    assert "/clear forgets" in output[2] and len(output) == 4
    assert output[0] == output[3], "after /clear the first question is answered as it was"
    assert "\ufffd" not in "".join(output)


def test_base_continues_the_text(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(model_dir, ["张明在", "好" * 500], monkeypatch, "--base") == 0
    continued, complaint = capsys.readouterr().out.splitlines()
    assert continued.startswith("张明在")
    assert f"context is {CONTEXT}" in complaint


class Echo(Speaker):
    """A speaker whose answers are known: the number of ids it was given."""

    def say(self, ids: list[int]) -> Iterator[str]:
        self.given = ids
        yield str(len(ids))


@pytest.fixture
def echo(model_dir: Path, tokenizer: Tokenizer) -> Echo:
    config = ModelConfig(**{name: value for name, value in json.loads((model_dir / "config.json").read_text()).items()
                            if name in ("vocab_size", "hidden_size", "max_position_embeddings")})  # fmt: skip
    with torch.device("meta"):
        model = Transformer(config)
    return Echo(model, tokenizer, Settings(model=model_dir, max_new_tokens=20), stop_ids(model_dir))


def test_history_is_remembered_then_cut_by_whole_turns(echo: Echo, tokenizer: Tokenizer) -> None:
    messages: list[Message] = [{"role": "system", "content": "短"}]
    for turn in range(10):
        before = messages
        messages = answer(echo, [*messages, {"role": "user", "content": f"第{turn}问"}])
        assert len(echo.given) + 20 <= CONTEXT
        assert messages[0]["role"] == "system" and messages[1]["role"] == "user"
        assert [message["content"] for message in messages[-2:]] == [f"第{turn}问", str(len(echo.given))]
        assert echo.given == render(tokenizer, messages[:-1], add_generation_prompt=True)[0]
        if turn == 1:
            assert messages[:-2] == before
    assert 3 < len(messages) < 21


def test_one_line_too_long_is_told(echo: Echo) -> None:
    with pytest.raises(ValueError, match=f"context is {CONTEXT}"):
        echo.prompt([{"role": "user", "content": "好" * 500}])


def test_ctrl_c_stops_the_answer_only(capsys: pytest.CaptureFixture[str]) -> None:
    def pieces() -> Iterator[str]:
        yield "研"
        raise KeyboardInterrupt

    assert show(pieces(), "") == "研"
    assert capsys.readouterr().out == "研 …\n"
