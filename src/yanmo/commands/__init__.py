"""The table of contents: every command of `yanmo`, one file each, in the order in which one meets them."""

COMMANDS = {
    "demo": "the whole road on a corpus the package makes itself, in minutes, on two CPU cores",
    "run": "a recipe: stages in order; finished ones are skipped",
    "doctor": "what a file is, what is wrong with it, what to do next; or what this machine has",
    "clean": "raw corpora -> clean documents, with a reason for everything removed",
    "tokenizer": "documents -> a tokenizer, with a report of what it covers",
    "trim": "a tokenizer from elsewhere -> a smaller one, and the model that goes with it",
    "pack": "documents -> token shards",
    "pretrain": "token shards -> a base model",
    "sft": "a base model + conversations -> a model that answers",
    "reward": "a model that answers + preferences -> a model that scores answers",
    "dpo": "a model that answers + preferences -> one that answers as people liked better",
    "tasks": "verifiable tasks -> examples with right answers",
    "grpo": "a model that answers + questions that can be judged -> one that answers them better",
    "ppo": "a model that answers + a reward model or a task -> one whose answers score better",
    "merge": "an adapter -> an ordinary model",
    "generate": "a model + a file of prompts -> completions",
    "evaluate": "a model -> scores",
    "chat": "talk to a model in the terminal",
}
