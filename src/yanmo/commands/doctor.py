"""What a file is and what to do with it; without a file, what this machine has and lacks.

    yanmo doctor                                    (the machine)
    yanmo doctor baike.json chats.parquet           (what each is, three rows, what is wrong, the command to use)
    yanmo doctor runs/pretrain x.bin                (models, tokenizers, token shards, output directories)
    yanmo doctor a/tokenizer.json b.model t.jsonl   (tokenizers side by side, measured on the text)

Prints, and writes nothing unless --out is given. Exit code 2 if a file is of no use as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from yanmo.commands import COMMANDS
from yanmo.core.run import Run, number, open_run
from yanmo.core.settings import CommandSettings
from yanmo.core.settings import parse as parse_settings
from yanmo.text.files.sources import COMPRESSIONS, Encoding, find_files

if TYPE_CHECKING:
    from yanmo.data.artefacts import Artefact
    from yanmo.text.examine import Examined, Said
    from yanmo.tokenizer.load import Tokenizer

LABEL = 14
"""Columns of the names on the left."""
DOCUMENT_LINES, MESSAGE_LINES = 4, 2
FOLDER_FILES = 8
"""Files of a folder that are looked at, in equal parts of what is read."""
FEW = 0.2
"""With fewer Han characters than this, `clean` would remove most documents by default."""
MUCH = 0.3
"""With more traditional characters than this, a text is worth converting."""
CHARACTERS_PER_TOKEN = {"6,400": 1.3, "32,000": 1.7}
"""What a byte-level vocabulary of that size makes of Chinese prose (bench/RESULTS.md)."""
LAYOUTS = {
    "jsonl": "JSON lines",
    "array": "a JSON array",
    "objects": "JSON objects",
    "csv": "CSV",
    "txt": "plain text",
    "parquet": "Parquet",
    "wiki": "a wiki dump (XML)",
}
NOT_YET = "training on preferences comes with `yanmo dpo`"


@dataclass(kw_only=True)
class Settings(CommandSettings):
    inputs: list[Path] = field(default_factory=list)
    """Files and directories to look at; they may also be written without --inputs. None: the machine."""
    encoding: Encoding = "auto"
    """Character encoding of text, CSV and JSON files; auto looks at the bytes."""
    format: str = "auto"
    """Name of the rows' format, or which key means what (text=KEY, or question=KEY,answer=KEY); auto looks."""
    read_mb: int = 32
    """About how much of a file's text is read; the rest is estimated."""
    all: bool = False
    """Read files to their end."""
    out: Path | None = None  # type: ignore[assignment]
    """A directory for report.json; none writes nothing."""

    RERUN: ClassVar = True


def parse(arguments: list[str]) -> Settings:
    """Settings from a command line whose first words, up to the first flag, are files."""
    flags = next((index for index, word in enumerate(arguments) if word.startswith("--")), len(arguments))
    inputs = ["--inputs", *arguments[:flags]] if flags else []
    return parse_settings(Settings, [*inputs, *arguments[flags:]])


def main(settings: Settings) -> None:
    if settings.read_mb < 1:
        raise ValueError(f"--read-mb {settings.read_mb}: must be at least 1")
    with opened(settings) as run:
        problems = look_at_files(settings, run) if settings.inputs else look_at_machine(run)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Run]:
    """A run that writes a report only if there is a directory for it."""
    if settings.out is None:
        yield Run(Path(), "doctor")
    else:
        with open_run(settings) as run:
            yield run


# The machine


def look_at_machine(run: Run) -> list[str]:
    """Print and report what the machine has. What it lacks is no error."""
    from yanmo.core.machine import machine_facts

    facts = machine_facts(Path())
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("mark", "name", "found"):
        table.add_column(column, overflow="fold", no_wrap=column != "found")
    marks = {True: Text("ok", "green"), None: Text("--", "dim"), False: Text("!!", "bold red")}
    for fact in facts:
        table.add_row(marks[fact.good], Text(fact.name, "bold"), Text(fact.found))
        table.add_row("", "", Text(fact.meaning, "dim" if fact.good is not False else "red"))
    run.console.print(table)
    run.report["machine"] = [fact._asdict() for fact in facts]
    to_do = [fact.name for fact in facts if fact.good is False]
    run.say(f"\nto do: {', '.join(to_do)}" if to_do else "\nready; start with: yanmo demo")
    return []


# Files


def look_at_files(settings: Settings, run: Run) -> list[str]:
    """Print and report every file; what makes one useless, a line each."""
    from yanmo.data.artefacts import identify
    from yanmo.tokenizer.foreign import name_of

    problems: list[str] = []
    reports: list[dict[str, Any]] = []
    tokenizers: dict[str, Tokenizer] = {}
    domains: dict[str, list[str]] = {}
    for place, path in enumerate(settings.inputs):
        if place:
            run.say("")
        if not path.exists():
            problems.append(f"{path}: no such file or directory")
            run.say(problems[-1])
            continue
        artefact = identify(path, settings.all)
        if artefact is not None:
            show_artefact(run, path, artefact)
            reports.append({"path": str(path), "kind": artefact.kind, **dict(artefact.facts)})
            if artefact.tokenizer is not None:
                called = name_of(path) if path.is_file() else path.name
                tokenizers[called if called not in tokenizers else str(path)] = artefact.tokenizer
            problems += [f"{path}: {problem.removeprefix(f'{path}: ')}" for problem in artefact.problems[:1]]
        if artefact is None:
            problems += look_at_text(path, settings, run, reports, domains)
        elif artefact.kind.startswith("documents"):
            problems += look_at_text(path, settings, run, reports, domains, cleaned=True)
    run.report["files"] = reports
    if tokenizers:
        compare(run, tokenizers, domains)
    return problems


def compare(run: Run, tokenizers: dict[str, Tokenizer], domains: dict[str, list[str]]) -> None:
    """The reports of the tokenizers side by side; the text files that were looked at are what they are measured on."""
    from yanmo.tokenizer.report import describe, lines, tables

    run.say("")
    reports = {name: describe(tokenizer, domains) for name, tokenizer in tokenizers.items()}
    for title, columns, rows in tables(reports):
        run.table(title, columns, rows)
    if len(reports) == 1:
        (report,) = reports.values()
        for line in lines(report):
            run.say(line)
    run.report["tokenizers"] = reports


def look_at_text(
    path: Path,
    settings: Settings,
    run: Run,
    reports: list[dict[str, Any]],
    domains: dict[str, list[str]],
    cleaned: bool = False,
) -> list[str]:
    """A text file, or the first files of a folder; gives what makes one useless. Texts of each go into `domains`.

    `cleaned`: the folder is `clean`'s, its parts are all alike, and what to do with it has been said.
    """
    from yanmo.text.examine import examine

    try:
        files = find_files([path])
    except ValueError as error:
        run.say(f"{error}")
        return [f"{error}"]
    some = files[: 1 if cleaned else FOLDER_FILES]
    if path.is_dir() and not cleaned:
        size = sum(file.stat().st_size for file, _ in files)
        first = f"; the first {len(some)} are:" if len(files) > len(some) else ""
        run.say(f"{path}: a folder, {len(files):,} files, {megabytes(size)}{first}")
    # A Han character is three bytes.
    limit = None if settings.all else settings.read_mb * 1_000_000 // 3 // len(some)
    problems: list[str] = []
    for file, name in some:
        try:
            found = examine(file, name, settings.encoding, settings.format, limit)
        except ValueError as error:
            run.say(f"{error}")
            problems.append(f"{error}")
            continue
        problems += show_text(run, file, found, advise=not cleaned)
        reports.append(report_of(found))
        if found.excerpt:
            domains[name] = found.excerpt
    return problems


# Showing text


def show_text(run: Run, path: Path, found: Examined, advise: bool = True) -> list[str]:
    """All about a text file; gives what makes it useless."""
    console = run.console
    console.print(Text(str(path), "bold"), soft_wrap=True)
    show_facts(console, [*what_it_is(path, found), *how_it_is(found)])
    if found.use is None and found.rows > found.broken.count:
        show_unknown(console, found)
    for place, parts in enumerate(found.samples, 1):
        show_row(console, place, parts)
    advice = next_steps(path, found)
    show_next(console, advice if advise else [])
    if advice:
        return []
    console.print(Text.assemble(("no use".ljust(LABEL), "bold red"), useless(found)), soft_wrap=True)
    return [f"{path}: {useless(found)}"]


def useless(found: Examined) -> str:
    """Why a file is of no use as it is."""
    if not found.rows:
        return "no rows; the file is empty"
    if found.use is None and found.rows > found.broken.count:
        return "unknown format; say which key means what with --format"
    bad = found.broken if found.broken.count >= found.rejected.count else found.rejected
    return f"{bad.count:,} of {found.rows:,} rows are no use: {bad.first[0]}"


def what_it_is(path: Path, found: Examined) -> list[tuple[str, str]]:
    from yanmo.text.examine import USES

    source = found.source
    packed = f", {path.suffix[1:]}" if path.suffix in COMPRESSIONS else ""
    wrapped = f" under {source.items.removesuffix('.item')!r}" if source.items != "item" else ""
    facts = []
    if found.use is not None:
        known = USES[found.use][found.format]
        corpora = f", as {', '.join(known.corpora[:4])}" if known.corpora and source.layout != "txt" else ""
        facts.append(("is", f"{found.use}, format {found.format}{corpora}"))
        if source.layout not in ("txt", "wiki"):
            facts.append(("because of", f"its keys {', '.join(known.keys)}"))
    encodings = [f"{name.upper()} {number:,}" for name, number in found.encodings.most_common()]
    encoding = ", ".join(encodings) if len(encodings) > 1 else source.encoding.upper()
    facts.append(("file", f"{LAYOUTS[source.layout]}{wrapped}{packed}, {encoding}, {megabytes(found.size)}"))
    return facts


def how_it_is(found: Examined) -> list[tuple[str, str]]:
    """Counts, damage and lengths."""
    read = "all of it" if found.whole else f"{found.share_read:.1%} of it (--all reads everything)"
    unit = "lines" if found.source.layout == "txt" else "rows"
    facts = [(unit, f"{found.rows:,}; {read}")]
    if not found.whole and found.rows:
        facts.append(("", f"about {found.rows / found.share_read:,.0f} in all"))
    for name, bad in (("broken", found.broken), ("unfit", found.rejected)):
        if bad.count:
            facts.append((name, ", ".join(f"{count:,} {reason}" for reason, count in bad.reasons.most_common())))
            facts += [("", short_place(place, found)) for place in bad.first]
    if not found.lengths:
        return facts
    if found.pairs:
        less = "".join(f"; {count:,} {reason}" for reason, count in found.unfit_pairs.most_common())
        facts.append(("pairs", f"{found.pairs:,} of a better and a worse answer{less}"))
    if found.turns:
        several = sum(count for turns, count in found.turns.items() if turns > 1)
        most = f"{several:,} with several questions, up to {max(found.turns)}" if several else "one question each"
        facts.append(("turns", most))
    low, short, middle, long, high = found.length_quantiles()
    characters = found.characters
    tokens = " or ".join(
        f"{short_number(characters / ratio / found.share_read)} with {size} entries"
        for size, ratio in CHARACTERS_PER_TOKEN.items()
    )
    return [
        *facts,
        ("duplicates", f"{found.duplicates:,} equal an earlier one" if found.duplicates else "none among them"),
        (
            "characters",
            f"{characters:,}; {unit} have {low:,} to {high:,}, half under {middle:,}, 90 % {short:,} to {long:,}",
        ),
        ("writing", f"{found.han_share:.0%} Han, {writing(found)}"),
        ("tokens", f"about {tokens}" + ("" if found.whole else " (the whole file)")),
    ]


def short_place(place: str, found: Examined) -> str:
    """A row's place without the path, which stands above."""
    place = place.removeprefix(str(found.source.path)).lstrip()
    return f"line {place[1:]}" if place.startswith(":") else place


def writing(found: Examined) -> str:
    """Simplified, traditional or both, by the characters that tell."""
    share = found.traditional_share
    if share is None:
        return "neither simplified nor traditional"
    return "simplified" if share < 0.02 else f"{share:.0%} of what tells them apart is traditional"


def show_unknown(console: Console, found: Examined) -> None:
    """An unknown format: what its rows hold, what is nearest, and how to name the keys."""
    from yanmo.text.examine import USES
    from yanmo.text.formats import nearest

    room = max(20, console.width - LABEL)
    show_facts(
        console,
        [("key", cut(f"{key}: {example or 'always empty'}", room, 1)[0]) for key, example in found.keys.items()],
    )
    for use, formats in USES.items():
        near = "; ".join(
            f"{name} lacks {', '.join(missing)}" for name, missing in nearest(list(found.keys), formats, 2)
        )
        show_facts(console, [(use, f"nearest: {near}")])
    longest = max(found.keys, key=lambda key: len(found.keys[key]) * found.keys[key].startswith("str"), default="KEY")
    path = found.source.path
    for label, command in (
        ("use it with", f"yanmo clean --inputs {path} --format text={longest}   (,title=KEY may follow)"),
        ("or with", f"yanmo sft --init MODEL --data {path} --format question=KEY,answer=KEY"),
    ):
        console.print(Text.assemble((label.ljust(LABEL), "dim"), command), soft_wrap=True)


def next_steps(path: Path, found: Examined) -> list[str]:
    """The commands that take the file, the most fitting first; none if it is of no use as it is."""
    redirects = found.source.layout == "wiki"  # half of a dump's pages are no articles
    bad = found.broken.count if redirects else found.broken.count + found.rejected.count
    if found.use is None or not found.lengths or bad * 2 >= found.rows:
        return []
    own = f" --format {found.format}" if "=" in found.format else ""
    clean = f"yanmo clean --inputs {path}{own} --out runs/clean"
    if found.format == "documents":
        return [
            f"yanmo tokenizer --inputs {path} --out runs/tokenizer",
            f"yanmo pack --inputs {path} --tokenizer runs/tokenizer --out runs/pack",
        ]
    steps = []
    if found.format == "choice":
        steps.append(
            f"{clean.replace(str(path), 'CORPUS')} --decontaminate {path}   (a test: measure by it, train without it)"
        )
    elif found.use == "preferences" and "dpo" in COMMANDS:
        steps.append(f"yanmo dpo --init MODEL --data {path}{own} --out runs/dpo")
    elif found.use == "preferences":
        steps.append(f"{clean}   (question and better answer as text; {NOT_YET})")
    elif found.use == "conversations":
        steps.append(f"yanmo sft --init MODEL --data {path}{own} --out runs/sft")
        if not own:
            steps.append(f"{clean}   (as text to pretrain on)")
    else:
        steps.append(clean + text_advice(found))
    return steps


def text_advice(found: Examined) -> str:
    """What to set for this file besides the defaults."""
    advice = ""
    if found.source.layout == "txt" and found.length_quantiles()[2] >= 200:
        advice += " --txt-documents line   (its lines are long: each may be a document)"
    if (found.traditional_share or 0) > MUCH and found.source.layout != "wiki":  # dumps are converted by default
        advice += " --simplify t2s   (traditional; without it, it stays so)"
    if found.visible and found.han_share < FEW:
        advice += " --min-han 0   (few Han characters: by default most of it would be removed)"
    return advice


def show_row(console: Console, row: int, parts: Sequence[Said]) -> None:
    """A parsed row, each part cut to a few lines of the terminal."""
    width = max(20, console.width - LABEL)
    colours = {"user": "cyan", "assistant": "green", "chosen": "green", "rejected": "red", "system": "yellow"}
    for index, part in enumerate(parts[:6]):
        label = part.role or f"row {row}"
        if index == 0 and part.role:
            console.print(Text(f"row {row}", "dim"))
        lines = cut(part.text, width, MESSAGE_LINES if part.role else DOCUMENT_LINES)
        for place, line in enumerate(lines):
            name = label if place == 0 else ""
            console.print(Text(name.ljust(LABEL), colours.get(part.role, "dim")) + Text(line), soft_wrap=True)
    if len(parts) > 6:
        console.print(Text(f"{'':{LABEL}}... {len(parts) - 6} more turns", "dim"))


def cut(text: str, width: int, lines: int) -> list[str]:
    """The beginning of a text as lines of at most `width` cells (a Han character takes two)."""
    rest = one_line(text[: 2 * width * lines])
    result: list[str] = []
    while rest and len(result) < lines:
        room = width if len(result) < lines - 1 else width - 2
        length = fitting(rest, room if cell_len(rest) > width else width)
        result.append(rest[:length])
        rest = rest[length:].lstrip(" ")
    if rest:
        result[-1] += " …"
    return result


def fitting(text: str, width: int) -> int:
    """How many characters of the text fit into `width` cells."""
    cells = 0
    for place, character in enumerate(text):
        cells += cell_len(character)
        if cells > width:
            return place
    return len(text)


def one_line(text: str) -> str:
    """A text without newlines and control characters, as a terminal can show it."""
    shown = " ⏎ ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(character if character.isprintable() else "·" for character in shown)


def show_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns, long values folded under themselves."""
    grid = Table.grid()
    grid.add_column(min_width=LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(Text(name, "dim"), Text(one_line(value)))
    console.print(grid)


def show_artefact(run: Run, path: Path, artefact: Artefact) -> None:
    console = run.console
    console.print(Text(str(path), "bold"), soft_wrap=True)
    show_facts(console, [("is", artefact.kind), *artefact.facts])
    for problem in artefact.problems:
        console.print(Text.assemble(("wrong".ljust(LABEL), "bold red"), problem), soft_wrap=True)
    show_next(console, [] if artefact.problems else artefact.next)


def show_next(console: Console, commands: Sequence[str]) -> None:
    """Commands whole, whatever the width, so that they can be copied."""
    for place, line in enumerate(commands):
        console.print(Text.assemble(("or" if place else "next").ljust(LABEL), line), style="green", soft_wrap=True)


# Figures


def report_of(found: Examined) -> dict[str, Any]:
    return {
        "path": str(found.source.path),
        "use": found.use,
        "format": found.format,
        "layout": found.source.layout,
        "encodings": dict(found.encodings),
        "rows": found.rows,
        "read_all": found.whole,
        "broken": dict(found.broken.reasons),
        "broken_first": found.broken.first,
        "unfit": dict(found.rejected.reasons),
        "unfit_first": found.rejected.first,
        "pairs": found.pairs,
        "duplicates": found.duplicates,
        "characters": found.characters,
        "length_quantiles": found.length_quantiles(),
        "han_share": round(found.han_share, 4),
    }


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


def short_number(value: float) -> str:
    for limit, suffix in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return number(round(value))
