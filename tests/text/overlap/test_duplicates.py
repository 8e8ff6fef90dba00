from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanmo.text.overlap import duplicates
from yanmo.text.overlap.duplicates import Found, document_keys, find_duplicates, read_keys, write_keys
from yanmo.text.overlap.fold import letters_of

HAN = np.arange(0x4E00, 0x9000)


def text(rng: np.random.Generator, length: int) -> str:
    return "".join(map(chr, rng.choice(HAN, length)))


def edited(rng: np.random.Generator, document: str, edits: int) -> str:
    """`edits` characters exchanged, at places far from each other."""
    characters = list(document)
    for place in np.linspace(3, len(document) - 4, edits).astype(int):
        characters[place] = chr(rng.choice(HAN))
    return "".join(characters)


def jaccard(first: str, second: str) -> float:
    sets = []
    for document in (first, second):
        letters = letters_of([document])[0].points.tolist()
        sets.append({tuple(letters[i : i + 5]) for i in range(len(letters) - 4)})
    return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


def search(
    tmp_path: Path, documents: list[str], cuts: Sequence[int] = (), threshold: float = 0.8, near: bool = True
) -> list[Found]:
    borders = [0, *cuts, len(documents)]
    shards = [documents[start:end] for start, end in pairwise(borders)]
    files = []
    for number, shard in enumerate(shards):
        files.append(tmp_path / f"keys-{number}.npy")
        write_keys(files[-1], [document_keys(shard, threshold, near)] if shard else [])

    def texts(shard: int, rows: Sequence[int]) -> Iterator[str]:
        assert list(rows) == sorted(set(rows))
        return (shards[shard][row] for row in rows)

    return find_duplicates(files, texts, threshold, near)


def removed(found: list[Found], cuts: Sequence[int] = ()) -> dict[int, tuple[int, bool, float]]:
    """Removed document -> (of which, exact, Jaccard index), numbered through."""
    starts = np.array([0, *cuts])
    return {
        int(start + row): (int(starts[shard] + of), bool(exact), round(float(index), 6))
        for start, shard_found in zip(starts, found, strict=True)
        for row, shard, of, exact, index in zip(
            shard_found.rows,
            shard_found.shards,
            shard_found.of_rows,
            shard_found.exact,
            shard_found.jaccard,
            strict=True,
        )
    }


def by_definition(documents: list[str], threshold: float) -> dict[int, tuple[int, bool, float]]:
    """The definition, document by document; of equal ones the first is meant."""
    keys = [letters_of([document])[0].points.tobytes() for document in documents]
    result: dict[int, tuple[int, bool, float]] = {}
    for later, document in enumerate(documents):
        for earlier in range(later):
            index = jaccard(documents[earlier], document)
            long = min(len(keys[earlier]), len(keys[later])) >= 80
            same = document == documents[earlier]
            if earlier not in result and (same or (long and index >= threshold)):
                result[later] = (earlier, same, 1.0 if same else round(index, 6))
                break
    return result


def test_copies_and_edited_copies_go_and_the_first_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    originals = [text(rng, 200) for _ in range(300)]
    copies = [f"　{document[:100]}\n{document[100:]}。" for document in originals[:50]]
    edits = [edited(rng, document, 1) for document in originals[100:150]]
    found = removed(search(tmp_path, originals + copies + edits))
    # A full stop more: another folded form, the same letters.
    assert {row: found[row] for row in range(300, 350)} == {300 + n: (n, False, 1.0) for n in range(50)}
    assert {row: found[row][0] for row in range(350, 400)} == {350 + n: 100 + n for n in range(50)}
    assert len(found) == 100
    assert found[350][2] == round(jaccard(originals[100], edits[0]), 6)


def test_exact_duplicates_differ_in_width_case_script_and_spaces(tmp_path: Path) -> None:
    documents = ["漢語，ABC 一", "别的", "汉语,ａｂｃ一", "汉语ａｂｃ一", "漢語，ABC一"]
    for near in (True, False):
        assert removed(search(tmp_path, documents, near=near)) == {2: (0, True, 1.0), 4: (0, True, 1.0)}


def test_anagrams_stay(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    document = text(rng, 300)
    documents = [document, document[::-1], "".join(sorted(document)), "".join(rng.permutation(list(document)))]
    assert removed(search(tmp_path, documents, threshold=0.5)) == {}


def test_short_documents_are_compared_whole(tmp_path: Path) -> None:
    documents = ["一二三四五六七八九十甲乙丙丁戊己庚辛壬", "一二三四五六七八九十甲乙丙丁戊己庚辛。壬", "一二", "一二"]
    assert removed(search(tmp_path, documents, threshold=0.5)) == {3: (2, True, 1.0)}


def test_resemblance_is_no_chain(tmp_path: Path) -> None:
    """b resembles a and c resembles b, but c does not resemble a: b goes, c stays."""
    rng = np.random.default_rng(2)
    a = text(rng, 404)
    b = a[:360] + text(rng, 44)
    c = b[44:] + text(rng, 44)
    assert jaccard(a, b) > 0.8 and jaccard(b, c) > 0.8 > jaccard(a, c)
    assert set(removed(search(tmp_path, [a, b, c]))) == {1}
    assert set(removed(search(tmp_path, [b, a, c]))) == {1, 2}


def test_a_copy_of_a_removed_document_goes_with_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    first = text(rng, 200)
    near = edited(rng, first, 1)
    index = round(jaccard(first, near), 6)
    assert removed(search(tmp_path, [first, near, near])) == {1: (0, False, index), 2: (0, False, index)}


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([0.5, 0.8, 0.95]), st.data())
def test_the_definition_whatever_the_shards(tmp_path: Path, threshold: float, data: st.DataObject) -> None:
    """Pairs close above the threshold may be missed, 2 in 100 of them; so documents here resemble clearly or not."""
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    pool = [text(rng, int(length)) for length in rng.integers(5, 400, 6)]
    documents = []
    for _ in range(data.draw(st.integers(0, 25))):
        document = pool[rng.integers(len(pool))]
        documents.append(document if rng.random() < 0.5 else edited(rng, document, 1 + int(rng.integers(2))))
    pairs = [jaccard(a, b) for a in documents for b in documents]
    if any(threshold <= index < threshold + 0.6 * (1 - threshold) for index in pairs):
        return
    cuts = sorted(data.draw(st.lists(st.integers(0, len(documents)), max_size=3)))
    assert removed(search(tmp_path, documents, cuts, threshold), cuts) == by_definition(documents, threshold)


def test_a_large_family_leaves_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More alike than are compared at once, in a band, a chunk or a piece."""
    monkeypatch.setattr(duplicates, "CHUNK", 50)
    monkeypatch.setattr(duplicates, "PIECE", 70)
    monkeypatch.setattr(duplicates, "ELEMENTS", 1000)
    rng = np.random.default_rng(4)
    base = text(rng, 300)
    documents = [edited(rng, base, 1) for _ in range(400)]
    found = removed(search(tmp_path, documents, (100, 100, 250)), (100, 100, 250))
    assert set(found) == set(range(1, 400)) and {of for of, _, _ in found.values()} == {0}


def test_keys_do_not_depend_on_batches(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    documents = [text(rng, int(length)) for length in rng.integers(0, 5000, 60)] + [text(rng, 100_000)]
    together = document_keys(documents)
    assert together.shape == (15, 61)
    for cut in (0, 1, 30, 61):
        write_keys(tmp_path / "keys", [document_keys(documents[:cut]), document_keys(documents[cut:])])
        assert (read_keys(tmp_path / "keys") == together).all()
    assert document_keys(documents, near=False).tolist() == together[:2].tolist()


def test_nothing_to_search(tmp_path: Path) -> None:
    assert find_duplicates([], lambda shard, rows: iter(())) == []
    assert removed(search(tmp_path, [])) == {}
    assert [len(shard.rows) for shard in search(tmp_path, ["一"], (0, 1))] == [0, 0, 0]


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        documents = [text(np.random.default_rng(6), 50)] * 100
        cuts = range(1, 100)
        assert set(removed(search(tmp_path, documents, cuts), cuts)) == set(range(1, 100))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
