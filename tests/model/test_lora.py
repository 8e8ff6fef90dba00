"""Adapters: nothing at first, PEFT's numbers and PEFT's files both ways, and a base that stays as it was."""

import json
from pathlib import Path

import peft
import pytest
import torch
import transformers

from tests.model.conftest import FAMILIES, random_ids, tiny
from tests.model.test_checkpoint import logits
from yanmo.model.cache import KVCache
from yanmo.model.checkpoint import load_config, load_model, save_model
from yanmo.model.decoding import for_decoding
from yanmo.model.lora import adapters_off, add_adapters, merge
from yanmo.model.lora_settings import PROJECTIONS, LoraSettings
from yanmo.model.transformer import Transformer


def stir(model: Transformer) -> None:
    """Random numbers into everything trainable, so that adapters do something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2)


def adapted(base: Path, stirred: bool = True, **settings) -> Transformer:
    model = load_model(base).eval()
    add_adapters(model, LoraSettings(rank=4, **settings), base)
    if stirred:
        stir(model)
    return model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_model(tmp_path / "base", tiny("qwen2", num_key_value_heads=2))
    return tmp_path / "base"


def test_only_adapters_are_trained_and_they_start_as_nothing(base: Path) -> None:
    before, model = load_model(base), adapted(base, stirred=False)
    assert torch.equal(logits(model), logits(before))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 7 * model.config.num_hidden_layers and all(".lora_" in name for name in trained)
    linear = [layer for layer in before.model.layers.modules() if isinstance(layer, torch.nn.Linear)]
    expected = sum(4 * (layer.in_features + layer.out_features) for layer in linear)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rslora": True, "targets": ["q_proj", "v_proj"]},
        {"modules_to_save": ["embed_tokens", "norm"], "targets": ["o_proj", "down_proj"]},
    ],
    ids=["all", "rslora", "modules_to_save"],
)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_peft_loads_ours(tmp_path: Path, family: str, tied: bool, settings: dict) -> None:
    save_model(tmp_path / "base", tiny(family, tie_word_embeddings=tied))
    model = adapted(tmp_path / "base", **settings)
    save_model(tmp_path / "adapter", model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(random_ids(2, 16)).logits, logits(model), atol=1e-4, rtol=1e-4)
    again = load_model(tmp_path / "adapter").eval()
    assert torch.equal(logits(again), logits(model))
    assert load_config(tmp_path / "adapter") == model.config


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("whole", [None, ["embed_tokens"]])
def test_we_load_pefts(tmp_path: Path, tied: bool, whole: list[str] | None) -> None:
    save_model(tmp_path / "base", tiny("qwen3", tie_word_embeddings=tied))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(
        r=3,
        lora_alpha=7,
        target_modules=list(PROJECTIONS),
        modules_to_save=whole,
        ensure_weight_tying=bool(whole) and tied,
    )
    theirs = peft.get_peft_model(theirs, config).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2)
        expected = theirs(random_ids(2, 16)).logits
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_model(tmp_path / "adapter").eval()
    assert ours.lora is not None and ours.lora.scale == pytest.approx(7 / 3)
    torch.testing.assert_close(logits(ours), expected, atol=1e-4, rtol=1e-4)


def test_off_and_merged(base: Path) -> None:
    model, plain = adapted(base), load_model(base)
    with_adapters = logits(model)
    assert not torch.allclose(with_adapters, logits(plain), atol=0.1)
    with adapters_off(model):
        assert torch.equal(logits(model), logits(plain))
    assert torch.equal(logits(model), with_adapters)
    merge(model)
    torch.testing.assert_close(logits(model), with_adapters, atol=1e-4, rtol=0)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_decoding_uses_the_adapters(base: Path) -> None:
    model, ids = adapted(base), random_ids(2, 16)
    twin = for_decoding(model)
    with torch.no_grad():
        hidden = twin(ids, cache=KVCache(model.config, 2, 16))
        torch.testing.assert_close(twin.lm_head(hidden), logits(model), atol=1e-4, rtol=0)


def test_gradients_reach_adapters_alone(base: Path) -> None:
    model = adapted(base, dropout=0.5).train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss = model.lm_head(model(random_ids(2, 16))).square().sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (".lora_" in name), name
        assert torch.equal(parameter, weights[name])
    torch.manual_seed(0)
    first = logits(model)
    assert not torch.equal(first, logits(model)), "dropout draws anew"
    assert torch.equal(logits(model.eval()), logits(model))


def test_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "adapter", adapted(base))
    changed = tiny("qwen2", num_key_value_heads=2)
    with torch.no_grad():
        changed.model.norm.weight += 1
    save_model(base, changed)
    with pytest.raises(ValueError, match="they have changed since"):
        load_model(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_model_name_or_path": "/nowhere"}, "base_model_name_or_path"),
        ({"peft_type": "IA3"}, "only LORA"),
        ({"use_dora": True}, "use_dora is not supported"),
        ({"bias": "all"}, "bias 'all'"),
        ({"target_modules": ".*proj"}, "only a list"),
        ({"target_modules": ["q_proj", "wrong"]}, "no linear layer 'wrong'"),
        ({"target_modules": ["q_proj"]}, "is missing or not wanted"),
        ({"r": 5}, r"is \(4, 32\) where"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(base: Path, tmp_path: Path, change: dict, message: str) -> None:
    save_model(tmp_path / "adapter", adapted(base))
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message) as error:
        load_model(tmp_path / "adapter")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": ["qproj"]}, "no linear layer 'qproj'; there are q_proj k_proj"),
        ({"targets": ["lm_head"]}, "--lora.modules-to-save lm_head"),
        ({"targets": []}, "names no layer"),
        ({"modules_to_save": ["lm_head"]}, "name embed_tokens"),
        ({"modules_to_save": ["q_proj"]}, "without an adapter"),
        ({"modules_to_save": ["nothing"]}, "without an adapter"),
    ],
)
def test_names_that_are_not_there(base: Path, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapted(base, **settings)


@pytest.mark.parametrize("wrong", [{"rank": -1}, {"rank": 4, "alpha": 0.0}, {"rank": 4, "dropout": 1.0}])
def test_impossible_values(wrong: dict) -> None:
    with pytest.raises(ValueError, match="--lora"):
        LoraSettings(**wrong)
