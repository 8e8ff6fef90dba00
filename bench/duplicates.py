"""Near duplicates: speed, recall, precision and memory, beside datasketch and rensa, on text with planted copies.

    python bench/duplicates.py TEXT ... [--peers-python PYTHON] [--rounds 3] [--megabytes 20] [--core 0]
    python bench/duplicates.py TEXT ... --contamination EVALUATION ...
    python bench/duplicates.py --scale 5000000

TEXT are files that `yanmo clean` reads. They are cut into documents of lognormal length (median 400 characters), to
which copies with a few characters changed, left out or put in are added; the Jaccard index of each copy and its
original, over 5-grams of folded letters, is computed, not assumed. A contestant is a process of its own that gets all
documents in memory, in order, and says which later ones repeat an earlier one; they run in turns on one core, and
rates are per CPU-second of everything between the documents and that answer. Peers get the folded letters, so that
folding is not charged to them. Precision is the share of removed documents that truly have a Jaccard index of 0.8
with what they are said to repeat; for peers, which do not compare, with the first candidate.

--contamination looks for what evaluation files ask, in batches and document by document, and shows what is found; the
keys of documents are timed beside it. --scale searches the keys of that many random documents, 5 % of them exact and
5 % near copies, for time and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

THRESHOLD = 0.8
COPIES = 0.1
BANDS = ((0.9, 1.01), (0.8, 0.9), (0.7, 0.8))
Pairs = list[tuple[int, int]]
"""A removed document and the one it repeats."""


def shingles(letters: str) -> set[str]:
    return {letters[i : i + 5] for i in range(len(letters) - 4)}


def jaccard(first: str, second: str) -> float:
    a, b = shingles(first), shingles(second)
    return len(a & b) / len(a | b) if a | b else 1.0


# The contestants: documents in order -> pairs.


def yanmo(texts: list[str]) -> Pairs:
    from yanmo.text.overlap.duplicates import document_keys

    return _find(texts, document_keys)


def yanmo_with_rensa(texts: list[str]) -> Pairs:
    """Our folding, bands and comparison, with rensa's minima in place of ours."""
    import numpy as np
    import rensa

    from yanmo.text.overlap import minhash
    from yanmo.text.overlap.duplicates import document_keys
    from yanmo.text.overlap.fold import Folded

    def band_hashes(letters: Folded, banding: minhash.Banding) -> np.ndarray:
        sizes = letters.ends - letters.starts()
        long = np.flatnonzero(sizes >= minhash.SHORTEST)
        result = np.full((banding.bands, len(sizes)), minhash.NONE, np.uint64)
        if len(long):
            # rensa takes each document's tokens without gaps, as uint64.
            hashes = minhash.shingles(letters.points)
            starts, ends = letters.starts()[long], letters.ends[long] - minhash.SHINGLE + 1
            flat = np.concatenate([hashes[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
            offsets = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.uint64)
            matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
                flat.astype(np.uint64), offsets, banding.bands * banding.rows, 0
            )
            minima = np.array(matrix.to_rows(), np.uint32).T
            result[:, long] = minhash._mixed(minima.reshape(banding.bands, banding.rows, len(long)))
        return result

    from yanmo.text.overlap import duplicates

    duplicates.band_hashes = band_hashes
    return _find(texts, document_keys)


def _find(texts: list[str], document_keys: Callable[[Sequence[str]], object]) -> Pairs:
    from yanmo.text.overlap.duplicates import find_duplicates, write_keys

    def read(shard: int, rows: Sequence[int]) -> Iterator[str]:
        return (texts[row] for row in rows)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        write_keys(path, [document_keys(texts)])
        (found,) = find_duplicates([path], read, THRESHOLD)
    return list(zip(found.rows.tolist(), found.of_rows.tolist(), strict=True))


def datasketch_sha1(texts: list[str]) -> Pairs:
    import datasketch

    return _datasketch(texts, datasketch.hashfunc.sha1_hash32)


def datasketch_xxh32(texts: list[str]) -> Pairs:
    import xxhash

    return _datasketch(texts, xxhash.xxh32_intdigest)


def _datasketch(texts: list[str], hashed: Callable[[bytes], int]) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    pairs = []
    for number, text in enumerate(texts):
        signature = MinHash(num_perm=128, hashfunc=hashed)
        signature.update_batch([shingle.encode() for shingle in shingles(text)])
        if candidates := index.query(signature):
            pairs.append((number, min(candidates)))
        else:
            index.insert(number, signature)
    return pairs


def rensa(texts: list[str]) -> Pairs:
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=THRESHOLD, num_perm=128, num_bands=16)
    pairs = []
    for number, text in enumerate(texts):
        signature = RMinHash(num_perm=128, seed=0)
        signature.update(list(shingles(text)))
        if candidates := index.query(signature):
            pairs.append((number, min(candidates)))
        else:
            index.insert(number, signature)
    return pairs


CONTESTANTS = {
    "yanmo": yanmo,
    "yanmo, minima by rensa": yanmo_with_rensa,
    "rensa, 16 x 8": rensa,
    "datasketch, 128, xxh32": datasketch_xxh32,
    "datasketch, 128, sha1 (its default)": datasketch_sha1,
}
PEERS = [name for name in CONTESTANTS if name != "yanmo"]


def contend(name: str, path: Path) -> None:
    """In a contestant's process: say what was found and what it took."""
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    texts = [row["text" if name.startswith("yanmo") else "letters"] for row in rows]
    del rows
    find = CONTESTANTS[name]
    find(texts[:200])  # tables, imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    pairs = find(texts)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    json.dump({"seconds": seconds, "pairs": pairs, "peak": peak / 1e3, "more": (peak - before) / 1e3}, sys.stdout)


# The race.


def documents(paths: list[Path], megabytes: float) -> Iterator[str]:
    from yanmo.text.files.readers import read_rows
    from yanmo.text.files.rows import Broken
    from yanmo.text.files.sources import find_files, look

    rng = random.Random(0)
    files = find_files(paths)
    for path, name in files:
        left = 1e6 * megabytes / len(files)
        for row in read_rows(look(path, name)):
            text = "" if isinstance(row, Broken) else row.value if isinstance(row.value, str) else row.value["text"]
            start = 0
            while start < len(text) and left > 0:
                document = text[start : start + int(rng.lognormvariate(6, 0.8)) + 30]
                start += len(document)
                left -= len(document.encode())
                yield document


def edited(rng: random.Random, text: str) -> str:
    """A copy with some characters changed, left out or put in; more in a longer one."""
    characters = list(text)
    for _ in range(rng.randint(1, max(1, len(text) // 40))):
        place = rng.randrange(len(characters))
        match rng.randrange(3):
            case 0:
                characters[place] = rng.choice(text)
            case 1:
                characters.insert(place, rng.choice(text))
            case 2 if len(characters) > 30:
                del characters[place]
    return "".join(characters)


def plant(texts: list[str]) -> tuple[list[str], dict[int, int]]:
    """The documents with copies among them, and copy -> original."""
    rng = random.Random(1)
    originals = rng.sample(range(len(texts)), int(len(texts) * COPIES))
    order = [(place, text, None) for place, text in enumerate(texts)]
    order += [(rng.uniform(place + 1, len(texts)), edited(rng, texts[place]), place) for place in originals]
    order.sort(key=lambda item: item[0])
    number = {place: n for n, (place, _, of) in enumerate(order) if of is None}
    copies = {n: number[of] for n, (_, _, of) in enumerate(order) if of is not None}
    return [text for _, text, _ in order], copies


def race(arguments: argparse.Namespace) -> None:
    from yanmo.text.overlap.fold import letters_of

    texts, copies = plant(list(documents(arguments.texts, arguments.megabytes)))
    letters = ["".join(map(chr, letters_of([text])[0].points)) for text in texts]
    index = {copy: jaccard(letters[copy], letters[of]) for copy, of in copies.items()}
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts):,} documents, {megabytes:.1f} MB, {len(copies):,} planted copies\n")
    names = ["yanmo", *(PEERS if arguments.peers_python else [])]
    answers: dict[str, list[dict]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.jsonl"
        with path.open("w", encoding="utf-8") as stream:
            for text, letter in zip(texts, letters, strict=True):
                stream.write(json.dumps({"text": text, "letters": letter}, ensure_ascii=False) + "\n")
        for _ in range(arguments.rounds):
            for name in names:
                answers[name].append(run(name, path, arguments))
    counts = [sum(low <= value < high for value in index.values()) for low, high in BANDS]
    head = " | ".join(f"J {low:g} to {min(high, 1):g} ({n})" for (low, high), n in zip(BANDS, counts, strict=True))
    print(f"| found of the copies with | MB/s best | median | times | {head} | precision | peak MB | of it search |")
    print("|---|" + "---|" * (6 + len(BANDS)))
    slowest = min(answer["seconds"] for answer in answers[names[-1]])
    for name in names:
        seconds = [answer["seconds"] for answer in answers[name]]
        last = answers[name][-1]
        removed = dict(last["pairs"])
        recalls = []
        for low, high in BANDS:
            planted = [copy for copy, value in index.items() if low <= value < high]
            recalls.append(f"{sum(copy in removed for copy in planted) / len(planted):.1%}")
        right = sum(jaccard(letters[later], letters[of]) >= THRESHOLD for later, of in removed.items())
        cells = [megabytes / min(seconds), megabytes / statistics.median(seconds)]
        print(
            f"| {name} | {cells[0]:.1f} | {cells[1]:.1f} | {slowest / min(seconds):.1f} | {' | '.join(recalls)} "
            f"| {right / len(removed):.4f} | {last['peak']:.0f} | {last['more']:.0f} |"
        )


def run(name: str, path: Path, arguments: argparse.Namespace) -> dict:
    python = arguments.peers_python if name in PEERS else sys.executable
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "OMP_NUM_THREADS": "1"}
    command = ["taskset", "-c", str(arguments.core), python, __file__, "--contend", name, str(path)]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


# Contamination.


def contamination(arguments: argparse.Namespace) -> None:
    from yanmo.text.overlap.contamination import Contamination
    from yanmo.text.overlap.duplicates import document_keys

    texts = list(documents(arguments.texts, arguments.megabytes))
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    start = time.process_time()
    found = Contamination.load(arguments.contamination)
    loading = time.process_time() - start
    ways: dict[str, Callable[[], object]] = {
        "contamination, in batches": lambda: found.find_all(texts),
        "contamination, document by document": lambda: [found.find(text) for text in texts],
        "exact keys": lambda: document_keys(texts, near=False),
        "exact and near keys": lambda: document_keys(texts),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - start)
    print(f"{len(texts):,} documents, {megabytes:.1f} MB; {len(found.runs):,} runs loaded in {loading:.1f} s\n")
    for name, seconds in best.items():
        print(f"| {name} | {megabytes / seconds:.0f} MB/s |")
    for drop in found.find_all(texts):
        if drop:
            print(drop.detail)


# Scale.


def scale(count: int) -> None:
    """Keys of random documents in shards of 50,000; texts are made up when they are asked for."""
    import numpy as np

    from yanmo.text.overlap.duplicates import find_duplicates, write_keys
    from yanmo.text.overlap.minhash import banding

    shard_size = 50_000
    rng = np.random.default_rng(0)
    bands = banding(THRESHOLD).bands
    near: dict[int, int] = {}
    pool = "".join(map(chr, rng.integers(0x4E00, 0x9FA6, 1 << 20)))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        paths = []
        for start in range(0, count, shard_size):
            keys = rng.integers(1, 1 << 64, (2 + bands, min(shard_size, count - start)), np.uint64)
            half = keys.shape[1] // 2
            exact = rng.choice(half, keys.shape[1] // 20, replace=False)
            keys[:, half : half + len(exact)] = keys[:, exact]
            alike = rng.choice(half, keys.shape[1] // 20, replace=False)
            copies = np.arange(half + len(exact), half + len(exact) + len(alike))
            shared = rng.random((bands, len(alike))) < 0.85**6
            keys[2:, copies] = np.where(shared, keys[2:, alike], keys[2:, copies])
            near |= dict(zip((start + copies).tolist(), (start + alike).tolist(), strict=True))
            paths.append(Path(folder) / f"{start}.npy")
            write_keys(paths[-1], [keys])

        def texts(shard: int, rows: Sequence[int]) -> Iterator[str]:
            for row in rows:
                document = shard * shard_size + row
                start = near.get(document, document) * 2_654_435_761 % (len(pool) - 150)
                yield pool[start : start + 150] + ("" if document in near else "一")

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        start_time, wall = time.process_time(), time.perf_counter()
        found = find_duplicates(paths, texts, THRESHOLD)
        seconds = time.process_time() - start_time
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        disk = sum(path.stat().st_size for path in paths) / 1e6
    removed = sum(len(shard.rows) for shard in found)
    print(
        f"{count:,} documents, {disk:.0f} MB of keys: {removed:,} duplicates ({len(near):,} near copies planted) in "
        f"{seconds:.1f} CPU s, {time.perf_counter() - wall:.1f} s of wall time; peak {peak:.0f} MB, {before:.0f} before"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", type=Path)
    parser.add_argument("--peers-python", help="an interpreter with datasketch and rensa, and what yanmo.text needs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--contamination", nargs="+", type=Path, metavar="EVALUATION")
    parser.add_argument("--scale", type=int)
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contend:
        contend(arguments.contend[0], Path(arguments.contend[1]))
    elif arguments.scale:
        scale(arguments.scale)
    elif arguments.contamination:
        contamination(arguments)
    else:
        race(arguments)


if __name__ == "__main__":
    main()
