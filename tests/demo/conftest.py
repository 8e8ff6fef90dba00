import pytest

from yanmo.demo.corpus import Corpus, build_corpus


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return build_corpus(seed=0, characters=300_000, conversations=3000, preferences=500, per_kind=6)
