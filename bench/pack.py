"""Documents to token shards on one core, beside the loops over lines that every small project has.

    python bench/pack.py runs/clean runs/tokenizer [--rounds 2] [--loop-mb 20] [--core 0]

Contestants take turns, each in a fresh process on one core, reading the same .jsonl[.zst] files:

    yanmo             `yanmo pack --workers 1` as a user gives it: start, check of the engine, shuffle, statistics
    yanmo, HF engine  the same with --engine huggingface
    tokenizers loop   json.loads, Tokenizer.encode, list.extend for each line; numpy.array(...).tofile at the end
    transformers loop the same with AutoTokenizer

The loops get the first --loop-mb megabytes (all their ids are Python integers in one list, 40 bytes each) and are timed
without their imports; we get everything and are timed from start to end. MB are 10^6 bytes of UTF-8 of the texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from yanmo.core.files import iter_lines, open_binary
from yanmo.data.documents import document_files

LOOPS = ("tokenizers", "transformers")


def lines(documents: Path, megabytes: float) -> Iterator[bytes]:
    """The files' lines, as many as make so many megabytes of text, as nearly as can be seen from outside."""
    left = megabytes * 1e6
    for file in document_files([documents]):
        with open_binary(file) as stream:
            for line in iter_lines(stream):
                yield line
                left -= len(line)
                if left <= 0:
                    return


def loop(library: str, documents: Path, tokenizer: Path, megabytes: float) -> dict[str, float]:
    """What the peers do; run in a process of its own."""
    if library == "tokenizers":
        from tokenizers import Tokenizer

        backend = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        encode = lambda text: backend.encode(text, add_special_tokens=False).ids  # noqa: E731
    else:
        from transformers import AutoTokenizer

        theirs = AutoTokenizer.from_pretrained(tokenizer)
        encode = lambda text: theirs.encode(text, add_special_tokens=False)  # noqa: E731
    started = time.process_time()
    ids: list[int] = []
    size = 0
    for line in lines(documents, megabytes):
        text = json.loads(line)["text"]
        ids.extend(encode(text))
        ids.append(0)
        size += len(text.encode())
    with tempfile.TemporaryDirectory() as directory:
        np.array(ids, dtype=np.uint16 if max(ids) < 1 << 16 else np.uint32).tofile(Path(directory) / "data.bin")
    return {"MB": size / 1e6, "seconds": time.process_time() - started, "tokens": len(ids)}


def pack(engine: str, documents: Path, tokenizer: Path) -> dict[str, float | str]:
    """`yanmo pack` to a temporary directory, and what it took."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "yanmo", "pack", "--inputs", str(documents), "--tokenizer", str(tokenizer)]
        command += ["--workers", "1", "--engine", engine, "--out", f"{directory}/out"]
        usage = run(command)[1]
        report = json.loads(Path(directory, "out/report.json").read_bytes())
        digest = hashlib.sha256(Path(directory, "out/train-00000.bin").read_bytes()).hexdigest()[:8]
    size = sum(source["bytes"] for source in report["sources"])
    return {"MB": size / 1e6, "sha256": digest, **usage, "tokens": sum(s["tokens"] for s in report["sources"])}


def run(command: list[str]) -> tuple[str, dict[str, float]]:
    """Output, CPU seconds and peak memory of a process and its children."""
    environment = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return output, {"seconds": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--loop-mb", type=float, default=20)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        print(json.dumps(loop(arguments.loop, arguments.documents, arguments.tokenizer, arguments.loop_mb)))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    best: dict[str, dict] = {}
    for number in range(arguments.rounds):
        for name in ("yanmo", *(f"{library} loop" for library in LOOPS), "yanmo, HF engine"):
            if name.startswith("yanmo"):
                found: dict = pack(
                    "auto" if name == "yanmo" else "huggingface", arguments.documents, arguments.tokenizer
                )
            else:
                output, usage = run([sys.executable, __file__, *sys.argv[1:], "--loop", name.split()[0]])
                found = {**usage, **json.loads(output)}
            print(f"round {number + 1} {name}: {found}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
            if name not in best or found["MB"] / found["seconds"] > best[name]["MB"] / best[name]["seconds"]:
                best[name] = found
    rate = {name: found["MB"] / found["seconds"] for name, found in best.items()}
    print(f"{platform.processor() or platform.machine()}, load of the machine {os.getloadavg()[0]:.1f}\n")
    print("| contestant | MB | CPU s | MB/s | M tokens/s | peak MB | times the tokenizers loop |")
    print("|---|---|---|---|---|---|---|")
    for name, found in sorted(best.items(), key=lambda item: -rate[item[0]]):
        tokens = found["tokens"] / found["seconds"] / 1e6
        print(
            f"| {name} | {found['MB']:.1f} | {found['seconds']:.2f} | {rate[name]:.1f} | {tokens:.2f} "
            f"| {found['peak']:.0f} | {rate[name] / rate['tokenizers loop']:.1f} |"
        )


if __name__ == "__main__":
    main()
