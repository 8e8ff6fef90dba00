"""An adapter -> an ordinary model directory: what the adapter learned, folded into a copy of its base.

yanmo merge --adapter runs/sft --out runs/merged
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yanmo.core.run import open_run
from yanmo.core.settings import CommandSettings


@dataclass(kw_only=True)
class Settings(CommandSettings):
    adapter: Path
    """The adapter directory, ours or PEFT's; it knows its base."""
    out: Path = Path("runs/merge")
    """The model directory to write."""


def main(settings: Settings) -> None:
    from yanmo.model.adapter import base_of, is_adapter, is_reward
    from yanmo.model.checkpoint import load_model, save_model
    from yanmo.model.lora import merge
    from yanmo.model.reward import load_reward_model

    if not is_adapter(settings.adapter):
        raise ValueError(f"--adapter {settings.adapter}: not an adapter directory (no adapter_config.json)")
    with open_run(settings) as run:
        if run.finished_before:
            run.say("already merged; nothing to do (--overwrite merges again)")
            return
        base = base_of(settings.adapter)
        model = load_reward_model(settings.adapter) if is_reward(settings.adapter) else load_model(settings.adapter)
        merge(model)
        # PEFT leaves the tokenizer with the base.
        tokenizer = settings.adapter if (settings.adapter / "tokenizer.json").is_file() else base
        save_model(run.path, model, tokenizer)
        run.report.update(base=str(base), parameters=model.config.parameter_count())
        run.say(f"{settings.adapter} folded into {base}: {run.path}")
