"""`yanmo pack` from documents to shards: every document in one split, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.conftest import small_texts
from yanmo import cli
from yanmo.core.files import write_jsonl
from yanmo.data.buckets import BucketWriter
from yanmo.data.shards import open_shards
from yanmo.tokenizer.load import Tokenizer

TEXTS = [*dict.fromkeys(small_texts(400))]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("documents")
    for part in range(2):
        with write_jsonl(directory / f"part-{part:05}.jsonl.zst") as out:
            for text in TEXTS[part::2]:
                out.write({"text": text, "source": "wiki", "id": text})
    return directory


@pytest.fixture(autouse=True)
def without_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than packing a few hundred documents."""
    if request.node.name != "test_statistics":
        monkeypatch.setattr("yanmo.data.plot.plot_statistics", lambda *_: None)


def pack(documents: Path, tokenizer: Tokenizer, out: Path, *more: str) -> int:
    paths = ["--inputs", str(documents), "--tokenizer", str(tokenizer.path), "--out", str(out)]
    return cli.run(["pack", *paths, "--workers", "1", *more])


def texts_of(path: Path) -> dict[str, list[str]]:
    """The documents of each split, cut at the offsets in the index."""
    shards = open_shards(path)
    found: dict[str, list[str]] = {}
    for name, info, tokens in (
        ("train", shards.meta.train, shards.train),
        ("val", shards.meta.val, shards.val),
    ):
        assert len(info.shards) == 1
        ends = np.fromfile(path / info.shards[0].index, dtype="<u8").astype(int)
        ids = [tokens.read(start, stop).tolist() for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
        assert all(document[-1] == shards.meta.end_id for document in ids)
        found[name] = [shards.tokenizer().decode(document[:-1]) for document in ids]
    return found


def write(directory: Path, texts: list[str]) -> Path:
    directory.mkdir()
    with write_jsonl(directory / "part-00000.jsonl") as out:
        for text in texts:
            out.write({"text": text})
    return directory


def same(one: Path, other: Path) -> bool:
    names = ("train-00000.bin", "train-00000.idx", "val-00000.bin", "val-00000.idx", "meta.json")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def report(path: Path) -> dict:
    return orjson.loads((path / "report.json").read_bytes())


def test_every_document_is_in_one_split(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert pack(documents, tokenizer, tmp_path / "out") == 0
    found = texts_of(tmp_path / "out")
    assert sorted(found["train"] + found["val"]) == sorted(TEXTS)
    assert len(found["val"]) == 8
    meta = open_shards(tmp_path / "out").meta
    assert meta.train.bytes + meta.val.bytes == sum(len(text.encode()) for text in TEXTS)
    assert meta.train.characters + meta.val.characters == sum(map(len, TEXTS))
    assert report(tmp_path / "out")["train"]["tokens"] == len(open_shards(tmp_path / "out").train)
    assert not (tmp_path / "out" / "buckets").exists()


def test_two_workers_write_the_same_bytes(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert pack(documents, tokenizer, tmp_path / "one") == 0
    assert pack(documents, tokenizer, tmp_path / "two", "--workers", "2") == 0
    assert same(tmp_path / "one", tmp_path / "two")


def test_no_validation_on_request(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert pack(documents, tokenizer, tmp_path / "out", "--val-fraction", "0") == 0
    assert open_shards(tmp_path / "out").meta.val.documents == 0
    assert len(open_shards(tmp_path / "out").val) == 0


def test_packing_twice_does_nothing(documents: Path, tokenizer: Tokenizer, tmp_path: Path, capsys) -> None:
    assert pack(documents, tokenizer, tmp_path / "out") == 0
    before = (tmp_path / "out" / "train-00000.bin").stat().st_mtime_ns
    assert pack(documents, tokenizer, tmp_path / "out", "--resume") == 0
    assert "already packed" in capsys.readouterr().out
    assert (tmp_path / "out" / "train-00000.bin").stat().st_mtime_ns == before
    assert pack(documents, tokenizer, tmp_path / "out") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_mistakes(documents: Path, tokenizer: Tokenizer, tmp_path: Path, capsys) -> None:
    for number, (arguments, message) in enumerate(
        [
            (["--val-fraction", "1"], "--val-fraction 1.0: must be at least 0 and below 1"),
            (["--workers", "-1"], "--workers -1: must not be negative"),
            (["--tokenizer", str(documents)], "no tokenizer.json"),
            (["--max-epochs", "0.5"], "--max-epochs 0.5: must be at least 1"),
            (["--weights", "3", "1"], "--weights 3 1: one is needed for each of the 1 --inputs"),
            (["--weights", "0"], "--weights 0: must be positive"),
            (["--inputs", str(documents), str(documents)], "given twice"),
            (["--weights", "1", "--shuffle-seed", "none"], "--weights: repeated documents must be shuffled"),
        ]
    ):
        assert pack(documents, tokenizer, tmp_path / f"{number}", *arguments) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text('{"text": "好"}\n{"text": "好\n')
    assert pack(tmp_path / "bad.jsonl", tokenizer, tmp_path / "bad") == 2
    assert "bad.jsonl:2: not valid JSON" in capsys.readouterr().err
    assert not list((tmp_path / "bad").glob("*.bin"))
    (tmp_path / "empty.jsonl").write_text("")
    assert pack(tmp_path / "empty.jsonl", tokenizer, tmp_path / "empty") == 2
    assert "no documents" in capsys.readouterr().err


def test_order_and_seed(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name, seed in (("kept", "none"), ("first", "0"), ("second", "1")):
        assert pack(documents, tokenizer, tmp_path / name, "--shuffle-seed", seed) == 0
    kept, first, second = (texts_of(tmp_path / name) for name in ("kept", "first", "second"))
    held_out = {*kept["val"]}
    order = [*TEXTS[::2], *TEXTS[1::2]]  # the two files, one after the other
    assert kept["train"] == [text for text in order if text not in held_out]
    assert first["train"] != second["train"] != kept["train"]
    assert sorted(first["train"]) == sorted(second["train"]) == sorted(kept["train"])
    assert {*first["val"]} == held_out
    places = {text: place for place, text in enumerate(kept["train"])}
    moved = np.corrcoef([places[text] for text in first["train"]], np.arange(len(first["train"])))[0, 1]
    assert abs(moved) < 0.2


def test_weights(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """3 : 1 by tokens, though the second has a sixth of the text: its documents come two times, mixed with the rest."""
    web = write(tmp_path / "web", [f"{number}号。" + text for number, text in enumerate(small_texts(600, seed=5))])
    wiki = write(tmp_path / "wiki", [f"第{number}。" + text for number, text in enumerate(small_texts(100, seed=6))])
    arguments = ["--inputs", str(web), str(wiki), "--weights", "3", "1", "--val-documents", "20"]
    for name in ("one", "again"):
        assert pack(web, tokenizer, tmp_path / name, *arguments) == 0
    assert same(tmp_path / "one", tmp_path / "again")
    found = texts_of(tmp_path / "one")
    tokens = [sum(len(tokenizer.encode(t)) + 1 for t in found["train"] if (t[0] == "第") is of) for of in (False, True)]
    assert tokens[0] / sum(tokens) == pytest.approx(0.75, abs=0.01)
    assert not {*found["train"]} & {*found["val"]}
    assert len(found["val"]) == len({*found["val"]}) == 20
    often = Counter(text for text in found["train"] if text[0] == "第")
    assert {*often.values()} <= {1, 2, 3}
    assert sum(often.values()) > 150
    assert set(Counter(text for text in found["train"] if text[0] != "第").values()) == {1}
    sources = report(tmp_path / "one")["sources"]
    assert [(source["input"], source["weight"]) for source in sources] == [("web", 3), ("wiki", 1)]
    assert [source["train_tokens"] for source in sources] == tokens
    assert sources[0]["epochs"] == 1
    assert sources[1]["epochs"] == pytest.approx(2, abs=0.3)
    assert open_shards(tmp_path / "one").meta.sources == sources


def test_no_input_is_repeated_without_end(tokenizer: Tokenizer, tmp_path: Path) -> None:
    web, few = write(tmp_path / "web", small_texts(600, seed=5)), write(tmp_path / "few", small_texts(30, seed=6))
    arguments = ["--inputs", str(web), str(few), "--weights", "1", "1", "--max-epochs", "3", "--val-fraction", "0"]
    assert pack(web, tokenizer, tmp_path / "out", *arguments) == 0
    sources = report(tmp_path / "out")["sources"]
    assert sources[1]["epochs"] == 3
    assert sources[1]["train_tokens"] == 3 * sources[1]["tokens"]
    assert sources[0]["train_tokens"] == pytest.approx(sources[1]["train_tokens"], rel=0.01)


def test_a_text_that_comes_twice_is_on_one_side(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = TEXTS[:200]
    one, other = write(tmp_path / "one", texts), write(tmp_path / "other", texts[::-1])
    arguments = ["--inputs", str(one), str(other), "--val-fraction", "0.1"]
    assert pack(one, tokenizer, tmp_path / "out", *arguments) == 0
    found = texts_of(tmp_path / "out")
    assert not {*found["train"]} & {*found["val"]}
    assert len(found["val"]) == 2 * len({*found["val"]}) > 20
    assert len(found["train"]) + len(found["val"]) == 400


def test_statistics(tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "诗.jsonl"
    with write_jsonl(file) as out:
        for number, text in enumerate(TEXTS):
            out.write({"text": text, "source": "唐诗" if number % 2 else "宋词"})
    assert pack(file, tokenizer, tmp_path / "out") == 0
    screen = capsys.readouterr().out
    assert "Tokens by source" in screen and "唐诗" in screen and "Tokens of a document" in screen
    found = report(tmp_path / "out")
    lengths = sorted(len(tokenizer.encode(text)) + 1 for text in TEXTS)
    assert sum(source["documents"] for source in found["sources"]) == len(TEXTS)
    assert sum(source["tokens"] for source in found["sources"]) == sum(lengths)
    assert sum(source["characters"] for source in found["sources"]) == sum(map(len, TEXTS))
    (poems,) = [source for source in found["sources"] if source["source"] == "唐诗"]
    mine = TEXTS[1::2]
    assert poems["bytes"] == sum(len(text.encode()) for text in mine)
    rate = sum(map(len, mine)) / sum(len(tokenizer.encode(text)) for text in mine)
    assert poems["characters_per_token"] == pytest.approx(rate, rel=1e-4)
    assert found["document_tokens"]["50%"] == lengths[(len(lengths) - 1) // 2]
    assert (found["document_tokens"]["shortest"], found["document_tokens"]["longest"]) == (lengths[0], lengths[-1])
    assert found["document_tokens_histogram"]["8"] == sum(8 <= length < 16 for length in lengths)
    assert (tmp_path / "out" / "statistics.png").read_bytes()[:4] == b"\x89PNG"
    assert found["engine"].startswith("fastokens ")


def test_either_engine_gives_the_same_shards(documents: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert pack(documents, tokenizer, tmp_path / "auto") == 0
    assert pack(documents, tokenizer, tmp_path / "theirs", "--engine", "huggingface") == 0
    assert (tmp_path / "auto/train-00000.bin").read_bytes() == (tmp_path / "theirs/train-00000.bin").read_bytes()
    assert report(tmp_path / "theirs")["engine"].startswith("tokenizers ")


def test_an_engine_that_differs_is_not_used(
    documents: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("yanmo.tokenizer.encode.first_difference", lambda *_: "他写")
    assert pack(documents, tokenizer, tmp_path / "out") == 0
    assert "gives other ids for '他写'" in capsys.readouterr().out
    assert report(tmp_path / "out")["engine"].startswith("tokenizers ")


def test_token_files_of_others_keep_their_ids(tokenizer: Tokenizer, tmp_path: Path, capsys) -> None:
    """Import, shards, the same ids to the byte."""
    ids = [number for text in TEXTS for number in (*tokenizer.encode(text), tokenizer.end_id)]
    np.array(ids, dtype="<u2").tofile(tmp_path / "pretrain_data.bin")
    arguments = ["--shuffle-seed", "none", "--val-fraction", "0"]
    assert pack(tmp_path / "pretrain_data.bin", tokenizer, tmp_path / "out", *arguments) == 0
    assert (tmp_path / "out/train-00000.bin").read_bytes() == (tmp_path / "pretrain_data.bin").read_bytes()
    meta = open_shards(tmp_path / "out").meta
    assert meta.train.documents == len(TEXTS)
    assert meta.train.characters == sum(map(len, TEXTS))
    assert meta.train.bytes == sum(len(text.encode()) for text in TEXTS)
    texts = write(tmp_path / "texts", TEXTS)
    both = ["--inputs", str(texts), str(tmp_path / "pretrain_data.bin"), "--val-fraction", "0.1"]
    assert pack(texts, tokenizer, tmp_path / "both", *both) == 0
    found = texts_of(tmp_path / "both")
    assert not {*found["train"]} & {*found["val"]}, "a text and its ids are one document"
    np.array([511, 512, 0], dtype="<u2").tofile(tmp_path / "bad.bin")
    assert pack(tmp_path / "bad.bin", tokenizer, tmp_path / "bad") == 2
    assert "bad.bin: id 512 at position 1 is outside the vocabulary of 512" in capsys.readouterr().err


def test_another_end_becomes_the_tokenizers(tokenizer: Tokenizer, tmp_path: Path) -> None:
    np.array([5, 6, 300, 7, 300], dtype="<u2").tofile(tmp_path / "a.bin")
    arguments = ["--end-id", "300", "--shuffle-seed", "none", "--val-fraction", "0"]
    assert pack(tmp_path / "a.bin", tokenizer, tmp_path / "out", *arguments) == 0
    end = tokenizer.end_id
    assert open_shards(tmp_path / "out").train.read(0, 5).tolist() == [5, 6, end, 7, end]


class Killed(BaseException):
    """As good as SIGKILL: nobody catches it."""


def test_a_killed_run_goes_on(documents: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch, capsys) -> None:
    """Killed twice between two checkpoints: what was written since the last is thrown away, the shards are the same."""
    monkeypatch.setattr("yanmo.data.packing.BLOCK", 500)
    monkeypatch.setattr("yanmo.data.buckets.CHECKPOINT", 1000)
    assert pack(documents, tokenizer, tmp_path / "undisturbed") == 0
    original, left = BucketWriter.write, 0

    def killed(self, ids, rows):
        nonlocal left
        left -= 1
        original(self, ids, rows)
        if left == 0:
            for file in self._files:
                file.flush()
            raise Killed

    for blocks in (8, 4):
        left = blocks
        monkeypatch.setattr(BucketWriter, "write", killed)
        with pytest.raises(Killed):
            pack(documents, tokenizer, tmp_path / "killed", "--resume")
        monkeypatch.setattr(BucketWriter, "write", original)
    capsys.readouterr()
    assert pack(documents, tokenizer, tmp_path / "killed", "--resume", "--workers", "2") == 0
    assert "going on after" in capsys.readouterr().out
    assert same(tmp_path / "undisturbed", tmp_path / "killed")
    assert not (tmp_path / "killed" / "buckets").exists()
