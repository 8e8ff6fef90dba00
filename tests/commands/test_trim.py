"""`yanmo trim`: a foreign tokenizer becomes a directory of ours, and a model follows it."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
import transformers

from tests.conftest import small_texts
from tests.model.conftest import tiny
from tests.tokenizer.test_trim import spm, wordy_texts
from yanmo import cli
from yanmo.core.files import write_json, write_jsonl
from yanmo.model.checkpoint import load_model, save_model
from yanmo.tokenizer.chat import render, template_of
from yanmo.tokenizer.load import load_tokenizer
from yanmo.tokenizer.save import save_tokenizer
from yanmo.tokenizer.source import open_source
from yanmo.tokenizer.train import train


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("documents")
    with write_jsonl(directory / "part-00000.jsonl.zst") as out:
        for number, text in enumerate(wordy_texts(200)):
            out.write({"text": text, "source": "wiki" if number % 4 else "web", "id": str(number)})
    return directory


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spm(tmp_path_factory.mktemp("spm") / "tokenizer.model", "bpe")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("byte")
    save_tokenizer(train(wordy_texts(150), 2400), path)
    return path


def trim(out: Path, source: Path, *arguments: str) -> int:
    return cli.run(["trim", "--source", str(source), "--out", str(out), *arguments])


def report(out: Path) -> dict:
    return orjson.loads((out / "report.json").read_bytes())


def test_a_sentencepiece_model(documents: Path, model_file: Path, tmp_path: Path) -> None:
    retain = tmp_path / "retain.txt"
    retain.write_text("kindergarten\n\ncup\nkindergarten\n")
    out = tmp_path / "out"
    assert trim(out, model_file, "--inputs", str(documents), "--vocab-size", "1500", "--retain", str(retain)) == 0
    tokenizer = load_tokenizer(out)
    assert tokenizer.vocab_size == 1500
    assert len(tokenizer.encode("kindergarten")) == 1
    found = report(out)
    assert found["unreachable"] == 0
    assert found["retained_words"] == 2
    assert found["vocab_size"] == sum(found["vocabulary"].values()) == 1500
    assert found["source"]["vocab_size"] == 2400
    assert 0.5 < found["compression_kept"] <= 1
    assert found["held_out"]["fallback_share"] < found["source"]["held_out"]["fallback_share"]  # newlines, ·
    id_map = np.load(out / "id_map.npy", allow_pickle=False)
    assert id_map.dtype == np.int32
    assert (id_map >= 0).sum() == found["kept"] == 1500 - found["added"]
    config = orjson.loads((out / "tokenizer_config.json").read_bytes())
    assert (config["unk_token"], config["bos_token"], config["eos_token"]) == ("<unk>", "<s>", "<|im_end|>")


def test_transformers_reads_it_alike(model_file: Path, tmp_path: Path) -> None:
    """Text, and conversations, though the source puts a space before every text."""
    assert trim(tmp_path, model_file, "--keep", "all") == 0
    ours, theirs = load_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*wordy_texts(5), "  x  y", "龘\n"]:
        assert theirs(text, add_special_tokens=False).input_ids == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == ours.decode(ours.encode(text)) == text
    messages = [{"role": "user", "content": "你好 a"}, {"role": "assistant", "content": "the cat"}]
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert render(ours, messages, add_generation_prompt=True)[0] == ids


def test_the_space_in_front_can_go(model_file: Path, tmp_path: Path) -> None:
    assert trim(tmp_path, model_file, "--keep", "all", "--prefix-space", "drop") == 0
    tokenizer = load_tokenizer(tmp_path)
    assert not tokenizer.backend.encode("cat").tokens[0].startswith("▁")
    assert b"".join(tokenizer.token_bytes[number] for number in tokenizer.encode("a cat")) == b"a cat"


def test_by_script(model_file: Path, tmp_path: Path) -> None:
    assert trim(tmp_path, model_file, "--keep", "scripts", "--drop-scripts", "cyrillic", "hangul") == 0
    assert not {"cyrillic", "hangul"} & report(tmp_path)["vocabulary"].keys()
    assert {"cyrillic", "hangul"} <= report(tmp_path)["source"]["vocabulary"].keys()


def test_tiktoken_ranks(tmp_path: Path, documents: Path) -> None:
    pairs = sorted({text[n : n + 2].encode() for text in small_texts(20) for n in range(len(text) - 1)})
    tokens = [*(bytes([byte]) for byte in range(256)), *sorted({p[:2] for p in pairs} | {p[:3] for p in pairs}), *pairs]
    tokens = list(dict.fromkeys(tokens))
    ranks = b"".join(base64.b64encode(token) + f" {rank}\n".encode() for rank, token in enumerate(tokens))
    (tmp_path / "small.tiktoken").write_bytes(ranks)
    assert trim(tmp_path / "out", tmp_path / "small.tiktoken", "--keep", "all") == 0
    tokenizer = load_tokenizer(tmp_path / "out")
    assert tokenizer.vocab_size == len(tokens) + 4
    assert tokenizer.end_id == len(tokens)  # as in Qwen
    assert tokenizer.token_bytes[: len(tokens)] == tokens


# The model that goes with it


def model_for(source: Path, directory: Path, family: str, tied: bool, rows: int | None = None) -> Path:
    """A random model with a row for each entry of a tokenizer, and the tokenizer beside it if it is a directory."""
    size = rows or open_source(source).backend.get_vocab_size()
    model = tiny(family, vocab_size=size, tie_word_embeddings=tied)
    save_model(directory, model, source if source.is_dir() else None)
    return directory


@pytest.mark.parametrize(("family", "tied"), [("llama", False), ("qwen2", True)])
def test_a_model_keeps_its_logits(directory: Path, documents: Path, tmp_path: Path, family: str, tied: bool) -> None:
    old_dir = model_for(directory, tmp_path / "model", family, tied, rows=2432)  # 32 rows of padding
    write_json(old_dir / "generation_config.json", {"eos_token_id": [2, 0], "temperature": 0.7})
    out = tmp_path / "out"
    assert trim(out, old_dir, "--inputs", str(documents), "--vocab-size", "1500", "--model", str(old_dir)) == 0
    old, new = load_model(old_dir), load_model(out)
    assert new.config == dataclasses.replace(old.config, vocab_size=1500)
    id_map = torch.from_numpy(np.load(out / "id_map.npy")).long()
    kept = torch.nonzero(id_map >= 0)[:, 0]
    ids = kept[torch.randint(len(kept), (2, 16), generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        before = old.lm_head(old(ids))[..., kept]
        after = new.lm_head(new(id_map[ids]))[..., id_map[kept]]
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(out)
        torch.testing.assert_close(theirs(id_map[ids]).logits[..., id_map[kept]], before, rtol=0, atol=1e-4)
    generation = orjson.loads((out / "generation_config.json").read_bytes())
    assert generation["temperature"] == 0.7
    assert generation["eos_token_id"] == [id_map[2], id_map[0]]
    config = orjson.loads((out / "config.json").read_bytes())
    assert config["vocab_size"] == 1500
    assert config["eos_token_id"] == template_of(load_tokenizer(out)).end_id


def test_a_model_of_a_sentencepiece_vocabulary(documents: Path, model_file: Path, tmp_path: Path) -> None:
    """Its own end goes on to end; our end of document starts as it; a new word starts as its parts."""
    old_dir = model_for(model_file, tmp_path / "model", "llama", False)
    config = orjson.loads((old_dir / "config.json").read_bytes())
    write_json(old_dir / "config.json", config | {"bos_token_id": 1, "eos_token_id": 2})
    (tmp_path / "retain.txt").write_text("kindergarten")
    out = tmp_path / "out"
    arguments = ["--inputs", str(documents), "--vocab-size", "1500", "--retain", str(tmp_path / "retain.txt")]
    assert trim(out, model_file, *arguments, "--model", str(old_dir)) == 0
    tokenizer = load_tokenizer(out)
    generation = orjson.loads((out / "generation_config.json").read_bytes())
    assert generation["eos_token_id"] == [2, template_of(tokenizer).end_id, tokenizer.end_id]
    assert generation["bos_token_id"] == 1
    old, new = load_model(old_dir).model.embed_tokens.weight, load_model(out).model.embed_tokens.weight
    assert torch.equal(new[tokenizer.end_id], old[2])
    (word,) = tokenizer.encode("kindergarten")
    parts = open_source(model_file).backend.encode("kindergarten").ids
    torch.testing.assert_close(new[word], old[parts].mean(0))


def test_a_model_of_another_size_or_vocabulary(directory: Path, model_file: Path, tmp_path: Path, capsys) -> None:
    small = model_for(model_file, tmp_path / "small", "llama", True, rows=2399)
    assert trim(tmp_path / "out", model_file, "--keep", "all", "--model", str(small)) == 2
    error = capsys.readouterr().err
    assert "2399 embedding rows" in error
    assert "2400 entries" in error
    large = model_for(model_file, tmp_path / "large", "llama", True, rows=2400 + 1024)
    assert trim(tmp_path / "out", model_file, "--keep", "all", "--model", str(large)) == 2
    assert "3424 embedding rows" in capsys.readouterr().err
    other = model_for(directory, tmp_path / "other", "llama", True)
    assert trim(tmp_path / "out", model_file, "--keep", "all", "--model", str(other)) == 2
    assert "its id 0 is '<|endoftext|>', that of --source is '<unk>'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep", "used"], "--keep used needs --inputs"),
        (["--keep", "scripts"], "--keep scripts needs --scripts or --drop-scripts"),
        (["--keep", "chinese-llama"], "--keep chinese-llama needs --retain"),
        (["--keep", "scripts", "--scripts", "klingon"], "--scripts klingon: no such script; there are han, latin"),
        (["--inputs", "DOCUMENTS", "--vocab-size", "40000"], "--vocab-size 40000: the source has only 2400 entries"),
        (["--inputs", "DOCUMENTS", "--vocab-size", "300"], "entries must stay"),
        (["--keep", "all", "--retain", "absent.txt"], "absent.txt: no such file"),
        (["--keep", "all", "--model", "absent"], "absent: not a model directory"),
    ],
)
def test_mistakes(documents: Path, directory: Path, tmp_path: Path, capsys, arguments: list[str], message: str) -> None:
    arguments = [str(documents) if argument == "DOCUMENTS" else argument for argument in arguments]
    assert trim(tmp_path / "out", directory, *arguments) == 2
    assert message in capsys.readouterr().err


def test_sources_that_are_none(tmp_path: Path, capsys) -> None:
    (tmp_path / "noise.model").write_bytes(bytes(range(1, 200)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "tokenizer.json").write_text("{}")
    for name in ("noise.model", "empty", "tokenizer.json", "absent.model"):
        assert trim(tmp_path / "out", tmp_path / name, "--keep", "all") == 2
        error = capsys.readouterr().err
        assert name in error
        assert error.count("\n") == 1


def test_chinese_llama_is_for_sentencepiece(directory: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "words.txt").write_text("the")
    assert trim(tmp_path / "out", directory, "--keep", "chinese-llama", "--retain", str(tmp_path / "words.txt")) == 2
    assert "works on SentencePiece models" in capsys.readouterr().err
