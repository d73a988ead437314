"""Plain words: phrases that readers of the field stumble over, and functions that are named by participles."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("pipeline", "models", "flows")
TEXTS = [
    path
    for place in (*LAYERS, "docs", "configs", "README.md")
    for path in ([ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*")))
    if path.suffix in (".py", ".md", ".yaml", ".j2")
]
PHRASES = {
    r"comes? to|came to": "name the result: 'is', 'gives', 'the hash of'",
    r"leaves? the house": "'is published'",
    r"nobody|somebody|whoever|whichever is": "name the person or the thing",
    r"(?-i:is none|are none)|is no (?:\w+ ){1,6}that": "'there is no ...', or '... is not ...'",
    r"say|says|said|saying|tell|tells|told|telling": "data do not speak: 'states', 'reports', 'shows', 'distinguishes'",
    r"so to speak|shall": "leave it out; 'must' or 'will'",
}
"""Pattern to what to write instead."""
ALLOWED = {
    "cannot be told": "a verdict on a change, as layers and the register hold it",
    "told apart": "distinguished",
    "tell apart": "distinguish",
}
"""Phrases with a banned word, and what they are there for."""
WITHHELD = re.compile("|".join(ALLOWED), re.IGNORECASE)
PUBLISHED = {
    "pipeline/epochs/gates.py": "its sentences stand in the record of every run, which keeps its content",
    "pipeline/run/package.py": "so do its descriptions of files",
    "pipeline/sample/notes.py": "its sentences stand in the published estimates",
    "pipeline/sample/tables/rows.py": "so do those of the table",
    "flows/steps/register/review.py": "`said` is a key of what `--json` prints",
}
"""Files whose texts are kept, and why."""
TAG = re.compile(r"\{[%{].*?[%}]\}")
BANNED = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in PHRASES), re.IGNORECASE)
ADJECTIVES_AND_VERBS = {"embed", "exceed", "feed", "need", "proceed", "seed", "shed", "speed"}
"""Words in -ed that are no participles."""
IRREGULAR = {
    "apart", "built", "drawn", "found", "given", "held", "kept", "known", "learnt", "left", "lent", "made", "meant", "said",
    "seen", "sent", "shown", "taken", "told", "written",
}  # fmt: skip
VALUES = ("property", "fixture")
"""Decorators of functions that are read as values, which participles name."""


def instead(phrase: str) -> str:
    return next(advice for pattern, advice in PHRASES.items() if re.fullmatch(pattern, phrase, re.IGNORECASE))


def written_lines(text: str, suffix: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that people read, with their numbers: of Python, those of comments and strings alone."""
    if suffix != ".py":
        # What stands in the tags of a template is code.
        yield from ((number, TAG.sub("", line)) for number, line in enumerate(text.splitlines(), 1))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        # From Python 3.12, the text of an f-string has a token of its own.
        if token.type in (tokenize.COMMENT, tokenize.STRING) or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            yield from enumerate(token.string.splitlines(), token.start[0])


def is_participle(name: str) -> bool:
    first = name.strip("_").partition("_")[0]
    return first in IRREGULAR or (first.endswith("ed") and first not in ADJECTIVES_AND_VERBS)


def is_read_as_a_value(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(value in ast.unparse(decorator) for decorator in node.decorator_list for value in VALUES)


def named_by_participles(tree: ast.AST) -> Iterator[tuple[int, str]]:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return ((node.lineno, node.name) for node in functions if is_participle(node.name) and not is_read_as_a_value(node))


def test_the_words_are_those_of_the_field() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{number}: {found.group()!r}; {instead(found.group())}: {line.strip()[:100]}"
        for path in TEXTS
        for number, line in written_lines(path.read_text(encoding="utf-8"), path.suffix)
        for found in BANNED.finditer(WITHHELD.sub("", line))
        if path.relative_to(ROOT).as_posix() not in PUBLISHED
    ]
    assert not offenders, "\n".join(offenders)


def test_functions_are_named_by_verbs() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{number}: {name}"
        for path in TEXTS
        if path.suffix == ".py"
        for number, name in named_by_participles(ast.parse(path.read_bytes()))
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What nobody knows."""', ["nobody"]),
        ('x = f"it says {a} that"', ["says"]),
        ("x = 1  # shall be", ["shall"]),
        ('x = """\nplain\nis none\n"""', ["is none"]),
        ("told = essay", []),
        ("# Cannot be told; x is None", []),
        ('"""Sayings and narrators."""', []),
    ],
)
def test_only_what_people_read_counts(source: str, found: list[str]) -> None:
    assert [m.group() for _, line in written_lines(source, ".py") for m in BANNED.finditer(WITHHELD.sub("", line))] == found


def test_a_participle_may_name_a_value() -> None:
    source = "class A:\n    @property\n    def kept(self): ...\ndef settled(): ...\ndef feed_all(): ...\ndef _found_in(): ...\n"
    assert list(named_by_participles(ast.parse(source))) == [(4, "settled"), (6, "_found_in")]
