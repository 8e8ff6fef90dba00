"""What `clean` asks of a document: every rule that looks at one document alone, as settings and as steps.

`Rules` is both the command's settings and what worker processes get; `document_steps` turns it into functions,
once per process and kind of source. The thresholds are in `kinds.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from yanmo.text.files.sources import find_files
from yanmo.text.overlap.contamination import contamination
from yanmo.text.step import Check, Step, settled
from yanmo.text.steps import classifier
from yanmo.text.steps.blocklist import ADVERTISEMENT, SPAM, Blocklist, blocked
from yanmo.text.steps.boilerplate import without_boilerplate
from yanmo.text.steps.kinds import PROFILES, Kind, Profile, kind_of_format
from yanmo.text.steps.markup import plain
from yanmo.text.steps.mojibake import repair
from yanmo.text.steps.normalise import normalise
from yanmo.text.steps.phrases import read_phrases
from yanmo.text.steps.privacy import mask_private_data
from yanmo.text.steps.quality import length, proportions
from yanmo.text.steps.repetition import repetition
from yanmo.text.steps.simplify import simplifier
from yanmo.text.steps.typography import ascii_letters, short_runs


@dataclass(kw_only=True)
class Rules:
    kind: Literal["auto", "web", "encyclopedia", "questions", "verse", "markdown", "code", "general"] = "auto"
    """What the inputs are, which decides how they are cleaned and what is asked of them. auto: encyclopedia and
    questions where the format says so, else general, which removes only what nobody wants; web is strict."""
    min_chars: int | None = None
    """Shorter documents are removed (too_short); none takes the kind's: web 50, questions 4, others 10."""
    max_chars: int | None = None
    """Longer documents are removed (too_long); none keeps all, since packing cuts them anyway."""
    min_han: float | None = None
    """Least share of Han characters in what is not white space (few_han); none takes the kind's: web and verse
    0.4, general 0.2, encyclopedia 0.1, markdown 0.05, questions and code 0. Prose has 0.8, Markdown with code 0.3."""
    privacy: Literal["auto", "mask", "keep"] = "auto"
    """Telephone numbers, identity cards, bank cards, e-mail, QQ, WeChat and IP addresses. mask: a word such as
    <电话> in their place; keep: as they are; auto: mask, but keep in encyclopedias, verse, Markdown and code."""
    simplify: Literal["auto", "none", "t2s", "tw2s", "tw2sp", "hk2s"] = "auto"
    """Traditional characters to simplified with OpenCC; code and lines in Japanese stay. t2s: characters; tw2s and
    hk2s: also the forms of Taiwan and Hong Kong (看著 to 看着); tw2sp: also words (軟體 to 软件), with mistakes;
    auto: tw2s for wiki dumps, none for all others."""
    blocklist: Path | None = None
    """A file of words, one a line. A document full of them is removed (blocked); --max-blocked says how full."""
    max_blocked: float = 0.01
    """Largest share of a document's characters in words of --blocklist; 0 removes it at the first one."""
    good_examples: list[Path] = field(default_factory=list)
    """Files of documents as they should be, in any format. With --bad-examples, a classifier is trained on them
    first, and documents that it finds worse than --min-quality are removed (low_quality). 50 of each at least,
    better some hundreds, of the same kind of source."""
    bad_examples: list[Path] = field(default_factory=list)
    """Files of documents as they should not be."""
    quality_model: Path | None = None
    """A classifier that an earlier run trained (its quality.safetensors), instead of examples."""
    min_quality: float = 0.5
    """Least probability, by the classifier, that a document is like the good examples."""
    decontaminate: list[Path] = field(default_factory=list)
    """Evaluation files and folders, of any kind that can be an input. Documents that share 13 letters in a row with
    what they ask are removed (contaminated), so that tests measure what was learned and not what was learned by
    heart."""

    def check(self) -> None:
        """Raises: ValueError: a setting has an impossible value."""
        if self.min_han is not None and not 0 <= self.min_han <= 1:
            raise ValueError(f"--min-han {self.min_han}: a share lies between 0 and 1")
        if self.min_chars is not None and self.min_chars < 0:
            raise ValueError(f"--min-chars {self.min_chars}: must be at least 0")
        if self.max_chars is not None and self.max_chars < (self.min_chars or 0):
            raise ValueError(f"--max-chars {self.max_chars} is below --min-chars {self.min_chars or 0}")
        for name in ("max_blocked", "min_quality"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: a share lies between 0 and 1")
        if bool(self.good_examples) != bool(self.bad_examples):
            raise ValueError("--good-examples and --bad-examples: the classifier needs both")
        if self.good_examples and self.quality_model:
            raise ValueError("--quality-model: a classifier is already trained; leave out the examples or the model")
        if self.blocklist is not None:
            read_phrases(self.blocklist)
        if self.quality_model is not None:
            classifier.load(self.quality_model)
        find_files([*self.good_examples, *self.bad_examples])
        find_files(self.decontaminate)


def source_kind(rules: Rules, format: str) -> Kind:
    """The kind of a source whose rows have this format."""
    known = kind_of_format(format)
    return known if rules.kind == "auto" or (known, rules.kind) == ("wiki", "encyclopedia") else rules.kind


def document_steps(rules: Rules, kind: Kind) -> tuple[Step, ...]:
    """The document steps for one kind of source, in order: those that rewrite, then those that judge, the cheap ones
    first. Lists and models are loaded here, so call it once per process and kind.

    Raises: ValueError: a list or a model cannot be read.
    """
    profile = PROFILES[kind]
    shortest = profile.min_chars if rules.min_chars is None else rules.min_chars
    least_han = profile.min_han if rules.min_han is None else rules.min_han
    conversion = profile.simplify if rules.simplify == "auto" else rules.simplify
    steps = [
        simplifier(conversion),  # once, and before all others: what a page has fixed is marked, and the marks go
        settled(rewriting_steps(rules, profile)),
        length(shortest, rules.max_chars),
        proportions(profile, least_han),
    ]
    lists = block_lists(rules, profile)
    if lists:
        steps.append(blocked(lists))
    steps.append(repetition(profile))
    if rules.quality_model is not None:
        steps.append(classifier.good_enough(classifier.load(rules.quality_model), rules.min_quality))
    return tuple(steps)


def batch_check(rules: Rules) -> Check | None:
    """What is asked of many documents at once after their steps, because it is several times as fast so."""
    return contamination(tuple(rules.decontaminate)).find_all if rules.decontaminate else None


def block_lists(rules: Rules, profile: Profile) -> list[Blocklist]:
    """The lists that apply; the user's last, since a phrase counts for the last list that has it."""
    lists = []
    if profile.max_promotion is not None:
        lists.append(Blocklist("advertisement", ADVERTISEMENT, profile.max_promotion, fewest=3))
    if profile.max_spam is not None:
        lists.append(Blocklist("spam", SPAM, profile.max_spam, fewest=2))
    if rules.blocklist is not None:
        lists.append(Blocklist("blocked", read_phrases(rules.blocklist), rules.max_blocked))
    return lists


def rewriting_steps(rules: Rules, profile: Profile) -> list[Step]:
    """What changes a text and keeps it. Mojibake first: normalisation would remove half of its bytes."""
    steps: list[Step] = [repair]
    if profile.web_markup:
        steps.append(plain)
    steps.append(normalise)
    if profile.typography:
        steps += [ascii_letters, short_runs]
    if profile.max_boilerplate is not None:
        steps.append(without_boilerplate(profile.max_boilerplate))
    if rules.privacy == "mask" or (rules.privacy == "auto" and profile.private_data):
        steps.append(mask_private_data)
    return steps
