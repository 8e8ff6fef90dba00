"""All of `clean` on real text: CPU seconds of each stage on one core, and the memory of all processes together.

    python bench/clean.py TEXT.jsonl.zst [--mb 30] [--every 10] [--workers 2] [--profile]

The documents (any format that `clean` reads) are written out as JSON lines first, so that MB are MB of UTF-8; every
tenth is followed by a copy with one more character, so that the search for near duplicates has something to find.
First the stages run here, one after the other; then `yanmo clean` runs as a user runs it, and its memory is sampled.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from yanmo.commands import clean
from yanmo.text.adapters import DOCUMENTS
from yanmo.text.conversations import find_format
from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Row
from yanmo.text.files.sources import look
from yanmo.text.pipeline import stages


def write_corpus(source: Path, path: Path, megabytes: float, every: int) -> float:
    """Write documents of the source as JSON lines, over again if they are not enough; returns the MB of text."""
    looked = look(source)
    read = DOCUMENTS[find_format(looked, DOCUMENTS)].read
    rng, size, number, lap = random.Random(0), 0, 0, 0
    with open(path, "w", encoding="utf-8") as stream:
        while True:
            for row in read_rows(looked):
                assert isinstance(row, Row)
                text = row.value if isinstance(row.value, str) else read(row.value)
                assert isinstance(text, str)
                if lap:  # another text, with the same letters
                    text = text[:: (-1) ** lap] + chr(0x4E00 + lap)
                copies = [text]
                if number % every == 0:
                    place = rng.randrange(len(text) + 1)
                    copies.append(text[:place] + "又" + text[place:])
                for copy in copies:
                    stream.write(json.dumps({"text": copy}, ensure_ascii=False) + "\n")
                    size += len(copy.encode())
                number += 1
                if size >= megabytes * 1e6:
                    return size / 1e6
            lap += 1


def time_stages(corpus: Path, out: Path, size: float) -> None:
    out.mkdir()
    settings = clean.Settings(inputs=[corpus], out=out)
    job = clean.plan(settings, [(corpus, corpus.name)])
    whole = 0.0

    def stage(name: str, *calls: tuple) -> None:
        nonlocal whole
        start = time.process_time()
        for function, *arguments in calls:
            function(*arguments)
        seconds = time.process_time() - start
        whole += seconds
        print(f"{name:12} {seconds:7.2f} s  {size / seconds:7.1f} MB/s", flush=True)

    stage("clean", *((stages.clean_span, out, span) for span in range(len(job.spans))))
    stage("duplicates", (stages.find_repeated, out))
    stage("write", *((stages.write_part, out, part) for part in range(len(stages.load_parts(job)))))
    print(f"{'all':12} {whole:7.2f} s  {size / whole:7.1f} MB/s")
    total = clean.Count()
    for count in stages.totals(out).counts:
        total.add(count)
    print(f"{total.rows:,} rows, {total.documents:,} kept; {dict(total.removed)}")


def memory(corpus: Path, out: Path, workers: int) -> None:
    """Run the command and sample the memory (proportional set size) of it and its processes."""
    arguments = ["clean", "--inputs", str(corpus), "--out", str(out), "--workers", str(workers)]
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "yanmo", *arguments], stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        peak = max(peak, sum(map(proportional_bytes, family(child.pid))))
        time.sleep(0.05)
    assert child.returncode == 0
    print(f"{workers} workers: {time.monotonic() - started:.1f} s wall, {peak / 1e6:,.0f} MB in all processes at most")


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(process for child in children for process in family(int(child)))]


def proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--mb", type=float, default=30)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2, help="of the run whose memory is sampled; 0 leaves it out")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        size = write_corpus(arguments.text, corpus, arguments.mb, arguments.every)
        print(f"{size:.1f} MB of text")
        profile = cProfile.Profile()
        if arguments.profile:
            profile.enable()
        time_stages(corpus, Path(folder) / "stages", size)
        if arguments.profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        if arguments.workers:
            memory(corpus, Path(folder) / "command", arguments.workers)


if __name__ == "__main__":
    main()
