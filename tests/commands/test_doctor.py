"""`yanmo doctor` as a user meets it: what is printed, what is written, the exit code."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.text.test_conversations import write
from yanmo import cli
from yanmo.commands.doctor import cut, one_line, parse
from yanmo.core import machine


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


CHAT = {"conversations": [{"from": "human", "value": "你好，" * 100}, {"from": "gpt", "value": "您好。"}]}


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "chat.jsonl", [CHAT] * 5)
    assert cli.run(["doctor", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "conversations, format sharegpt" in printed
    assert f"yanmo sft --init MODEL --data {path}" in printed
    assert "assistant     您好。" in printed and "4 equal an earlier one" in printed
    assert all(
        cell_len(line) <= 80 for line in printed.splitlines() if "yanmo" not in line and str(tmp_path) not in line
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["chat.jsonl"], "written without being asked to"


def test_a_report_where_one_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "chat.jsonl", [CHAT] * 5)
    for _ in range(2):
        assert cli.run(["doctor", str(path), "--out", str(tmp_path / "out"), "--overwrite"]) == 0
        (report,) = json.loads((tmp_path / "out" / "report.json").read_text())["files"]
        assert (report["format"], report["rows"], report["duplicates"]) == ("sharegpt", 5, 4)


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("empty.jsonl", b"", "no rows; the file is empty"),
        ("bad.jsonl", b'{"text": \n{"text":\n{"text": "a"}\n', "2 of 3 rows are no use"),
        ("odd.jsonl", '{"正文": "文字"}\n'.encode() * 3, "unknown format"),
        ("wide.jsonl", '{"text": "文字"}\n'.encode("utf-16"), "UTF-16 text"),
        ("cut.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 1000)[:20], "1 of 1 rows are no use"),
        ("a.docx", b"PK", "unknown kind of file"),
        ("a.pth", b"x", "pickle can run any code"),
        ("odd.bin", b"abc", "no whole number"),
    ],
)
def test_a_file_that_is_no_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert cli.run(["doctor", str(tmp_path / name)]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and str(tmp_path / name) in printed.err
    assert len(printed.err.splitlines()) == 1


def test_an_unknown_format_says_how_to_use_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "odd.jsonl", [{"正文": "一二三四五六七八九十" * 3, "编号": 7}] * 3)
    assert cli.run(["doctor", str(path)]) == 2
    printed = "".join(capsys.readouterr().out.split())
    assert "--formattext=正文" in printed and "nearest:" in printed and "编号:int7" in printed
    assert cli.run(["doctor", str(path), "--format", "text=正文"]) == 0
    assert f"yanmo clean --inputs {path} --format text=正文" in capsys.readouterr().out
    assert cli.run(["doctor", str(path), "--format", "baidubaik"]) == 2
    assert "did you mean baidubaike" in capsys.readouterr().err


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path / "good.jsonl", [{"text": "文字"}] * 3)
    assert cli.run(["doctor", str(tmp_path / "nowhere"), str(good), str(tmp_path / "neither")]) == 2
    printed = capsys.readouterr()
    assert "yanmo clean --inputs" in printed.out
    assert "nowhere: no such file or directory (and 1 more)" in printed.err


def test_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer_dir: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.jsonl", [{"text": "文字"}] * 3)
    assert cli.run(["doctor", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "a folder, 10 files" in printed and "7.jsonl" in printed and "8.jsonl" not in printed
    assert cli.run(["doctor", str(tokenizer_dir)]) == 0
    assert "yanmo pack --inputs" in capsys.readouterr().out


def test_tokenizers_side_by_side_on_a_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer_dir: Path
) -> None:
    text = write(tmp_path / "news.jsonl", [{"text": f"{n} 张明在北京买了苹果。"} for n in range(50)])
    other = tmp_path / "other"
    shutil.copytree(tokenizer_dir, other)
    assert cli.run(["doctor", str(tokenizer_dir), str(other), str(text)]) == 0
    printed = capsys.readouterr().out
    assert "characters/token" in printed and "news.jsonl" in printed.partition("characters/token")[2]
    assert printed.count("Vocabulary") == 1 and tokenizer_dir.name in printed and "other" in printed


def test_the_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    facts: dict[str, object] = {
        "torch": "2.12",
        "cuda": None,
        "gpus": [],
        "mps": False,
        "flops": {"fp32": 2e10, "bf16": 9e10},
    }
    monkeypatch.setattr(machine, "PROBE", f"print({json.dumps(json.dumps(facts))})")
    assert cli.run(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "fp32 20 GFLOP/s, bf16 90 GFLOP/s" in printed and "bf16 is computed as such" in printed
    assert "start with: yanmo demo" in printed or "to do:" in printed


def test_words_before_the_first_flag_are_files() -> None:
    settings = parse(["a.json", "b.json", "--all"])
    assert settings.inputs == [Path("a.json"), Path("b.json")] and settings.all and settings.out is None
    assert parse([]).inputs == []
    with pytest.raises(ValueError, match="--al: no such setting"):
        parse(["a.json", "--al"])


@pytest.mark.parametrize("width", [20, 21, 60])
def test_text_is_cut_to_the_width(width: int) -> None:
    for text in ("研墨" * 100, "ab研" * 100, "短", "a" * width, "研" * (width // 2)):
        lines = cut(text, width, 2)
        assert len(lines) <= 2 and all(cell_len(line) <= width for line in lines)
        assert text.startswith("".join(lines).removesuffix(" …"))
        assert lines[-1].endswith(" …") is (cell_len(text) > 2 * width)


def test_nothing_in_a_text_reaches_the_terminal_as_control() -> None:
    assert one_line("a\x1b[31mb\x00\r\n\n c\ud83d") == "a·[31mb· ⏎ c·"
