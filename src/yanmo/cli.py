"""The command line: a table from word to command. A command is imported only when it runs.

Exit codes: 0 done, 1 failed, 2 the user's mistake (one line, never a traceback), 130 and 143 interrupted
by Ctrl-C and SIGTERM after everything was saved.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import os
import sys
import traceback
from typing import Any

import yanmo
from yanmo.commands import COMMANDS
from yanmo.core.environment import restart_for_tensors

MISTAKES = (ValueError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


TENSOR_COMMANDS = ("demo", "run", "pretrain", "sft", "reward", "dpo", "generate", "evaluate", "chat")


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in TENSOR_COMMANDS and not {"-h", "--help"} & set(sys.argv):
        restart_for_tensors()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"yanmo {yanmo.__version__}")
        return 0
    from yanmo.core.signals import Failure, Terminated, raise_on_sigterm

    raise_on_sigterm()
    try:
        command(arguments[0], arguments[1:])
    except KeyboardInterrupt:
        return 130
    except Terminated:
        return 143
    except BrokenPipeError:
        return 1
    except MISTAKES as error:
        return complain(arguments[0], error, 2)
    except (OSError, Failure) as error:
        return complain(arguments[0], error, 1)
    return 0


def complain(name: str, error: BaseException, code: int) -> int:
    """One line for the user; YANMO_TRACEBACK=1 shows a developer where it came from."""
    if os.environ.get("YANMO_TRACEBACK"):
        traceback.print_exception(error)
    print(f"yanmo {name}: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def command(name: str, arguments: list[str]) -> None:
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        raise ValueError(f"no such command; {f'did you mean {close[0]}?' if close else 'yanmo --help lists them'}")
    module = importlib.import_module(f"yanmo.commands.{name}")
    if any(word in ("-h", "--help") for word in arguments):
        print(command_help(name, module))
        return
    from yanmo.core.settings import parse

    # `run` takes its recipe's stages as flags too, which no dataclass can list.
    own_parse = getattr(module, "parse", None)
    module.main(own_parse(arguments) if own_parse else parse(module.Settings, arguments))


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"yanmo {yanmo.__version__} (研墨): grow a Chinese language model from raw text", ""]
    lines += ["yanmo COMMAND [FILE.toml] [--setting value ...]", ""]
    lines += [f"  {bold(name.ljust(width))}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join([*lines, "", "yanmo COMMAND --help shows every setting; start with: yanmo demo"])


def command_help(name: str, module: Any) -> str:
    """Every setting of a command: name, kind, default, meaning. What all commands share comes last."""
    from yanmo.core.settings import CommandSettings, Setting, describe, type_name

    shared = {field.name for field in dataclasses.fields(CommandSettings)}
    settings = sorted(describe(module.Settings), key=lambda setting: setting.name in shared)

    def entry(setting: Setting) -> list[str]:
        default = "required" if setting.required else f"default {show(setting.default)}"
        return [
            f"  {bold('--' + setting.name)}  ({type_name(setting.type)}; {default})",
            f"      {setting.help}",
        ]

    lines = [f"yanmo {name} [FILE.toml] [--setting value ...]", "", module.__doc__.strip(), ""]
    return "\n".join(lines + [line for setting in settings for line in entry(setting)])


def show(value: Any) -> str:
    """A default as the user would write it."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text
