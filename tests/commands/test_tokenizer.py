"""`yanmo tokenizer` from a directory of documents to a directory that loads everywhere."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.conftest import small_texts
from yanmo import cli
from yanmo.core.files import write_jsonl
from yanmo.tokenizer.load import load_tokenizer


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("documents")
    with write_jsonl(directory / "part-00000.jsonl.zst") as out:
        for number, text in enumerate(small_texts(400)):
            out.write({"text": text, "source": "wiki" if number % 4 else "web", "id": str(number)})
    return directory


@pytest.mark.parametrize("kind", ["byte", "char"])
def test_trains_and_reports(documents: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "tokenizer"
    arguments = ["--inputs", str(documents), "--vocab-size", "540", "--kind", kind, "--out", str(out)]
    assert cli.run(["tokenizer", *arguments]) == 0
    tokenizer = load_tokenizer(out)
    assert tokenizer.vocab_size == 540
    report = orjson.loads((out / "report.json").read_bytes())
    assert report["fingerprint"] == tokenizer.fingerprint
    assert sum(report["vocabulary"].values()) == 540
    assert report["held_out"]["characters_per_token"] > 1
    assert set(report["held_out_by_source"]) <= {"wiki", "web"}
    assert report["sample_documents"] < 400
    again = tmp_path / "again"
    assert cli.run(["tokenizer", *arguments[:-1], str(again)]) == 0
    assert (again / "tokenizer.json").read_bytes() == (out / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vocab-size", "30000"], "--vocab-size 30000: this text gives a vocabulary of"),
        (["--vocab-size", "100"], "--vocab-size 100: the smallest useful vocabulary has 512"),
        (["--sample-mb", "-1"], "--sample-mb -1.0: must be positive"),
        (["--weights", "1", "2"], "--weights 1 2: one number for each of the 1 --inputs"),
        (["--weights", "-1"], "--weights -1: one number for each"),
        (["--compare", "tests"], "tests: no tokenizer there"),
        (["--sweep", "540", "540"], "--sweep: the same size is given twice"),
        (["--sweep", "540", "--trial.tokens", "5"], "tokens at least 4,096"),
    ],
)
def test_mistakes(documents: Path, tmp_path: Path, capsys, arguments: list[str], message: str) -> None:
    command = ["tokenizer", "--inputs", str(documents), "--out", str(tmp_path / "out"), *arguments]
    assert cli.run(command) == 2
    assert message in capsys.readouterr().err


def test_weights_and_a_comparison(documents: Path, tmp_path: Path, tokenizer_dir: Path) -> None:
    verse = tmp_path / "verse.jsonl"
    with write_jsonl(verse) as out:
        for number, text in enumerate(small_texts(40, seed=2)):
            out.write({"text": text.replace("苹果", "明月"), "source": "verse", "id": str(number)})
    out = tmp_path / "tokenizer"
    arguments = ["--inputs", str(documents), str(verse), "--weights", "1", "1", "--sample-mb", "0.03"]
    arguments += ["--vocab-size", "520", "--compare", str(tokenizer_dir), "--out", str(out)]
    assert cli.run(["tokenizer", *arguments]) == 0
    report = orjson.loads((out / "report.json").read_bytes())
    assert 20_000 < report["sample_bytes"] < 40_000
    assert set(report["held_out_by_source"]) <= {str(documents), str(verse)}
    (other,) = report["compared"].values()
    assert other["vocab_size"] == 512
    assert set(other["held_out_by_source"]) == set(report["held_out_by_source"])


def test_a_sweep_and_its_resumption(documents: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "sweep"
    arguments = ["tokenizer", "--inputs", str(documents), "--sweep", "540", "520", "--out", str(out)]
    arguments += ["--trial.parameters", "100_000", "--trial.tokens", "4096"]
    assert cli.run(arguments) == 0
    report = orjson.loads((out / "report.json").read_bytes())
    best, other = report["sweep"]
    assert best["bits_per_character"] <= other["bits_per_character"]
    assert load_tokenizer(out).vocab_size == best["vocab_size"] == report["vocab_size"]
    assert best["held_out_characters"] == other["held_out_characters"]
    capsys.readouterr()

    (out / "report.json").unlink()
    (out / "sweep" / "evaluate-540-1" / "report.json").unlink()
    assert cli.run([*arguments, "--resume"]) == 0
    assert capsys.readouterr().out.count("finished before, skipped") == 7
    again = orjson.loads((out / "report.json").read_bytes())
    assert again["sweep"] == report["sweep"]


def test_an_empty_corpus(tmp_path: Path, capsys) -> None:
    (tmp_path / "part-00000.jsonl").write_text("")
    assert cli.run(["tokenizer", "--inputs", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "no documents" in capsys.readouterr().err
