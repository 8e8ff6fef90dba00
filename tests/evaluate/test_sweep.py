"""The sweep's plan: equal parameters, equal compute, and what its stages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanmo.core.files import write_json
from yanmo.evaluate.sweep import (
    BATCH,
    CONTEXT,
    FFN,
    HELD_OUT,
    TrialSettings,
    held_out,
    outcome,
    plan,
    recipe,
    shape,
    text_needed,
)


@pytest.mark.parametrize("parameters", [5_000_000, 30_000_000])
@pytest.mark.parametrize("vocab_size", [4000, 6400, 12_800])
def test_models_have_equal_parameters(parameters: int, vocab_size: int) -> None:
    config = shape(parameters, vocab_size).validate()
    assert config.parameter_count() == pytest.approx(parameters, rel=0.005)
    assert config.vocab_size >= vocab_size and config.vocab_size % 64 == 0
    assert config.intermediate_size is not None
    assert FFN / 1.25 < config.intermediate_size / config.hidden_size < FFN * 1.25


def test_the_body_narrows_as_the_tables_grow() -> None:
    widths = [shape(30_000_000, size).hidden_size for size in (2000, 8000, 32_000)]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 3


def test_compute_is_equal() -> None:
    trials = plan([12_800, 4000, 6400], TrialSettings(tokens=1_000_000))
    assert [trial.vocab_size for trial in trials] == [4000, 6400, 12_800]
    flops = [trial.config.flops(trial.tokens, trial.tokens, CONTEXT) for trial in trials]
    assert max(flops) / min(flops) < 1.01
    assert trials[0].tokens == pytest.approx(1_000_000, abs=BATCH * CONTEXT)
    assert text_needed(trials) >= 5 * trials[-1].tokens


def test_mistakes() -> None:
    with pytest.raises(ValueError, match=r"--trial.parameters 1,000,000: too few .* vocabulary of 64,000"):
        plan([4000, 64_000], TrialSettings(parameters=1_000_000))
    with pytest.raises(ValueError, match="--sweep: the same size"):
        plan([4000, 4000], TrialSettings())
    with pytest.raises(ValueError, match=r"--trial.seeds"):
        TrialSettings(seeds=[])
    with pytest.raises(ValueError, match="tokens at least 4,096"):
        TrialSettings(tokens=10)


def test_held_out_text_comes_from_all_sources_in_turns() -> None:
    texts = {"web": ["网" * 100_000] * 9, "verse": ["诗", "词"]}
    chosen = list(held_out(texts))
    assert [source for source, _ in chosen] == ["verse", "web", "verse", "web", "web"]
    assert sum(len(text) for _, text in chosen) == HELD_OUT + 2
    assert list(held_out({})) == []


def test_stages_train_on_one_text_and_are_judged_on_another(tmp_path: Path) -> None:
    trials = plan([4000, 6400], TrialSettings())
    stages = recipe(trials, [1, 2], tmp_path / "documents", tmp_path / "judged", {"kind": "char"})
    assert len(stages) == 2 * (2 + 2 * 2)
    assert stages["tokenizer-4000"]["inputs"] == stages["pack-6400"]["inputs"] == [str(tmp_path / "documents")]
    assert stages["evaluate-6400-2"]["data"] == [str(tmp_path / "judged")]
    assert stages["pretrain-4000-2"]["train"]["seed"] == 2
    assert list(stages).index("pack-4000") < list(stages).index("pretrain-4000-1")


def test_the_fewest_bits_a_character_win_over_all_seeds(tmp_path: Path) -> None:
    trials = plan([4000, 6400], TrialSettings(seeds=[1, 2]))
    bits = {(4000, 1): 3.0, (4000, 2): 3.4, (6400, 1): 3.1, (6400, 2): 3.2}
    for size in (4000, 6400):
        (tmp_path / f"pack-{size}").mkdir()
        write_json(tmp_path / f"pack-{size}" / "report.json", {"train": {"characters": 3000, "tokens": 2000}})
        for seed in (1, 2):
            place = tmp_path / f"evaluate-{size}-{seed}"
            place.mkdir()
            figures = {"bits_per_character": bits[size, seed], "characters": 900, "tokens": 600}
            write_json(place / "report.json", {"likelihood": figures})
    first, second = outcome(trials, [1, 2], tmp_path)
    assert first["vocab_size"] == 6400 and first["bits_per_character"] == pytest.approx(3.15)
    assert first["spread"] == pytest.approx(0.1)
    assert second["held_out_characters_per_token"] == 1.5
    assert second["training_characters"] == trials[0].tokens * 1.5
