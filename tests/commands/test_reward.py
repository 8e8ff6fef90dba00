"""Reward model and DPO as a user runs them, on a preference that a tiny model can learn in seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import orjson
import peft
import pytest
import torch
import transformers
import trl
from datasets import Dataset

from yanmo.cli import run
from yanmo.core.files import sha256
from yanmo.model.checkpoint import load_model, save_model
from yanmo.model.config import ModelConfig
from yanmo.model.reward import load_reward_model
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.chat import render
from yanmo.tokenizer.load import load_tokenizer
from yanmo.train.preference_settings import RewardSettings
from yanmo.train.reward import worth

TRAIN = (
    "--train.sequence-length 128 --train.batch-size 4 --train.dtype fp32 --train.device cpu --no-train.compile "
    "--train.lr 0.003 --train.log-every 1 --train.eval-every 0"
).split()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    directory = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=128
    )
    save_model(directory, Transformer(config), tokenizer_dir)
    return directory


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers that thank are liked better; their length says nothing."""
    generator = random.Random(0)
    rows = []
    for number in range(300):
        words = ["".join(generator.choices("书猫信茶雨伞苹果", k=generator.randint(2, 9))) for _ in range(2)]
        rows.append({"prompt": f"第{number}个问题", "chosen": f"谢谢，{words[0]}。", "rejected": f"不行，{words[1]}。"})
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def command(name: str, base: Path, pairs: Path, out: Path, *more: str) -> list[str]:
    return [name, "--init", str(base), "--data", str(pairs), "--out", str(out), *TRAIN, *more]


def report(directory: Path) -> dict:
    return json.loads((directory / "report.json").read_text())


def ids_of(base: Path, *texts: str) -> torch.Tensor:
    tokenizer = load_tokenizer(base)
    messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=True)]
    ids, trained = render(tokenizer, messages)
    return torch.tensor([ids[: len(trained) - trained[::-1].index(True)]])


@pytest.mark.parametrize("lora", [[], ["--lora.rank", "8", "--train.adapter-lr-ratio", "1"]], ids=["full", "lora"])
def test_a_reward_model_learns_and_transformers_gives_its_scores(
    base: Path, pairs: Path, tmp_path: Path, lora: list[str]
) -> None:
    out = tmp_path / "reward"
    more = ["--train.epochs", "1", "--train.lr", "0.01", "--val-fraction", "0.2"]
    assert run(command("reward", base, pairs, out, *more, *lora)) == 0
    figures = report(out)["validation"]
    assert figures["accuracy"] >= 0.95 and figures["pairs"] > 30
    assert figures["accuracy_chosen_shorter"] >= 0.9, "it must not have learned length alone"
    ids = ids_of(base, "一个新问题", "谢谢，书。")
    ours = load_reward_model(out).eval()
    with torch.no_grad():
        score = float(ours.rewards(ours(ids))[0, -1])
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    if lora:
        theirs = peft.PeftModel.from_pretrained(load(base, num_labels=1), out).eval()
        assert run(["merge", "--adapter", str(out), "--out", str(tmp_path / "merged")]) == 0
        merged = load(tmp_path / "merged").eval()
        with torch.no_grad():
            assert float(merged(ids).logits) == pytest.approx(score, abs=1e-4)
    else:
        theirs = load(out).eval()
    with torch.no_grad():
        assert float(theirs(ids).logits) == pytest.approx(score, abs=1e-4)
        assert score > float(theirs(ids_of(base, "一个新问题", "不行，书。")).logits)


def test_a_reward_model_resumes_and_keeps_its_best(base: Path, pairs: Path, tmp_path: Path) -> None:
    once = command("reward", base, pairs, tmp_path / "once", "--train.steps", "8")
    assert run(once) == 0
    twice = command("reward", base, pairs, tmp_path / "twice", "--train.steps", "8", "--train.save-every", "4")
    assert run(twice) == 0
    (tmp_path / "twice" / "state" / "step-00000008" / "model.safetensors").write_bytes(b"broken")
    assert run([*twice, "--resume"]) == 0
    assert sha256(tmp_path / "twice" / "model.safetensors") == sha256(tmp_path / "once" / "model.safetensors")


def test_a_reward_model_is_no_language_model(
    base: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "reward"
    assert run(command("reward", base, pairs, out, "--train.steps", "1")) == 0
    with pytest.raises(ValueError, match=r"a Qwen3ForSequenceClassification, where a language model .* is needed"):
        load_model(out)
    with pytest.raises(ValueError, match="where a reward model"):
        load_reward_model(base)
    assert run(command("dpo", out, pairs, tmp_path / "dpo", "--train.steps", "1")) == 2
    assert "language model" in capsys.readouterr().err


def test_a_reward_model_of_an_adapter_wants_a_merge_first(
    base: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = tmp_path / "adapter"
    assert run(command("dpo", base, pairs, adapter, "--lora.rank", "4", "--train.steps", "1")) == 0
    assert run(command("reward", adapter, pairs, tmp_path / "reward", "--train.steps", "1")) == 2
    assert "yanmo merge --adapter" in capsys.readouterr().err


def test_the_loss_is_trls(base: Path, pairs: Path, tmp_path: Path) -> None:
    from yanmo.data.preferences import PreferenceBatches
    from yanmo.text.preferences import Preference
    from yanmo.train.reward import reward_loss

    assert run(command("reward", base, pairs, tmp_path / "reward", "--train.steps", "3")) == 0
    model = load_reward_model(tmp_path / "reward")
    asked = [{"role": "user", "content": "问"}]
    two = [Preference(asked, "谢谢，书。", "不行。"), Preference(asked, "谢谢", "不行，猫猫。")]
    packed = PreferenceBatches(two, load_tokenizer(base), 128, 2, 0, 128, scored=True)
    (batch,) = packed.sequential()
    total, _ = reward_loss(RewardSettings(center=0.3))(model, batch)
    ours = total / 2
    ours.backward()
    trainer = trl.RewardTrainer(
        model=transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward"),
        args=trl.RewardConfig(
            output_dir=str(tmp_path / "out"), report_to="none", use_cpu=True, bf16=False, center_rewards_coefficient=0.3
        ),
        processing_class=transformers.AutoTokenizer.from_pretrained(tmp_path / "reward"),
        train_dataset=Dataset.from_dict({"chosen": ["a"], "rejected": ["b"]}),
    )
    rows = [ids_of(base, "问", answer)[0] for pair in two for answer in (pair.chosen,)]
    rows += [ids_of(base, "问", pair.rejected)[0] for pair in two]
    pad = load_tokenizer(base).pad_id
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    expected = trainer.compute_loss(trainer.model, {"input_ids": ids, "attention_mask": (ids != pad).long()})
    assert float(ours.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
    expected.backward()
    theirs = dict(trainer.model.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-4, msg=name)


def test_dpo_prefers_what_was_preferred(base: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "dpo"
    assert run(command("dpo", base, pairs, out, "--train.epochs", "1", "--val-fraction", "0.2")) == 0
    figures = report(out)["validation"]
    assert figures["accuracy"] >= 0.9 and figures["margin"] > 0
    first = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(np.log(2), abs=1e-4)


def test_dpo_that_collapses_stops_and_keeps_its_best(
    base: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dpo"
    more = [
        "--train.lr",
        "0.1",
        "--train.eval-every",
        "1",
        "--train.steps",
        "20",
        "--train.warmup",
        "3",
        "--train.keep",
    ]
    more += ["1", "--val-fraction", "0.1", "--tax.max-new-tokens", "8", "--preference.collapse", "0.5"]
    assert run(command("dpo", base, pairs, out, *more)) == 0
    assert "less likely than under the reference" in capsys.readouterr().out
    made = report(out)
    assert made["steps"] < 20 and made["best_step"] < made["steps"]
    assert sha256(out / "model.safetensors") == sha256(
        out / "state" / f"step-{made['best_step']:08}" / "model.safetensors"
    )


@pytest.mark.parametrize("loss", ["sigmoid", "kto"])
def test_dpo_with_adapters_resumes_bit_for_bit(base: Path, pairs: Path, tmp_path: Path, loss: str) -> None:
    lora = ["--lora.rank", "4", "--train.steps", "6", "--preference.loss", loss, "--no-tax.measure"]
    assert run(command("dpo", base, pairs, tmp_path / "once", *lora)) == 0
    twice = command("dpo", base, pairs, tmp_path / "twice", *lora, "--train.save-every", "3")
    assert run(twice) == 0
    (tmp_path / "twice" / "state" / "step-00000006" / "progress.json").unlink()
    assert run([*twice, "--resume"]) == 0
    assert sha256(tmp_path / "twice" / "adapter_model.safetensors") == sha256(
        tmp_path / "once" / "adapter_model.safetensors"
    )


def test_what_is_left_out_is_counted(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": "一", "chosen": "好", "rejected": "好"},
        {"prompt": "二", "chosen": "好" * 500, "rejected": "坏"},
        {"prompt": "三", "chosen": "好", "rejected": "坏"},
        {"prompt": "四", "chosen": "好", "rejected": ""},
    ]
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    more = ["--train.steps", "1", "--val-fraction", "0", "--no-tax.measure"]
    assert run(command("dpo", base, file, tmp_path / "out", *more)) == 0
    counts = report(tmp_path / "out")["preferences"]
    assert counts["rejected"] == {"equal_answers": 1, "empty_rejected": 1}
    assert counts["training"]["kept"] == 1 and counts["training"]["dropped"] == {"longer than a row": 1}
    assert "1 equal_answers" in capsys.readouterr().out


def test_worth_tells_length_from_merit() -> None:
    lengths = np.array([[9, 2], [8, 3], [2, 7], [3, 9]])
    by_length = worth(lengths.astype(float), lengths)
    assert by_length["accuracy"] == 0.5 and by_length["score_length_correlation"] == pytest.approx(1)
    assert (by_length["accuracy_chosen_longer"], by_length["accuracy_chosen_shorter"]) == (1.0, 0.0)
    by_merit = worth(np.array([[3.0, -3], [3, -3], [3, -3], [3, -3]]), lengths)
    assert by_merit["accuracy"] == 1.0 and by_merit["accuracy_chosen_shorter"] == 1.0
    assert by_merit["calibration_error"] == pytest.approx(1 - 1 / (1 + np.exp(-6)))
    assert by_merit["longer_is_chosen"] == 0.5
