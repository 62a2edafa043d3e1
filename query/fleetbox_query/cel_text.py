"""Split CEL text into the conditions its `&&` joins, without evaluating anything."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from fleetbox.errors import InputError

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))
    | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPEN, _CLOSE = "([{", ")]}"
_FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

Literal = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Token:
    """Hold one word of an expression: kind is text, number, name or mark."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold `name op literal`; `on_label` is true where the text said `labels.name`."""

    name: str
    op: str
    literal: Literal
    on_label: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.op} {self.literal!r}"


@dataclass(frozen=True, slots=True)
class Has:
    """Hold `has(name)`."""

    name: str
    on_label: bool = False

    def __str__(self) -> str:
        return f"has({self.name})"


@dataclass(frozen=True, slots=True)
class Other:
    """Hold a condition that is no plain comparison, as tokens."""

    tokens: tuple[Token, ...]


Condition = Comparison | Has | Other


def conditions(text: str) -> tuple[tuple[Condition, tuple[Token, ...]], ...]:
    """Return the conditions that must all hold, each with its tokens; raise InputError on text that is no CEL."""
    return tuple((_condition(part), part) for part in _conjuncts(tokens(text)))


def tokens(text: str) -> tuple[Token, ...]:
    """Return the words of an expression."""
    out, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise InputError(
                f"expression {text!r} is not understood at {text[at:].strip()[:12]!r}",
                "write CEL, such as \"ax < -4.0 && site == 'edge-1'\"",
            )
        kind = match.lastgroup or "mark"
        out.append(Token(kind, match[kind]))
        at = match.end()
    return tuple(out)


def names_of_texts(words: tuple[Token, ...]) -> frozenset[str]:
    """Return the names that an expression treats as text: compared with one, looked for among some, asked a method."""
    padded = [*words, *[Token("mark", "")] * 3]
    found = set()
    for at, word in enumerate(words):
        is_name = word.kind == "name" and (at == 0 or words[at - 1].text != ".")
        after = [one.text if one.kind != "text" else "''" for one in padded[at + 1 : at + 4]]
        before = [one.text if one.kind != "text" else "''" for one in words[max(0, at - 2) : at]]
        match after:
            case [op, "''", _] if op in _FLIPPED:
                is_text = True
            case ["in", "[", "''"] | [".", _, "("]:
                is_text = True
            case _:
                is_text = len(before) == 2 and before[0] == "''" and before[1] in _FLIPPED
        if is_name and is_text:
            found.add(word.text)
    return frozenset(found)


def join(words: tuple[Token, ...]) -> str:
    """Write tokens back as text."""
    text = " ".join(word.text for word in words)
    text = re.sub(r" ?\. ?(?=[A-Za-z_])", ".", text)
    return re.sub(r"(?:(?<=[=<>(\[,?:&|!] )|^)- (?=[\w.(])", "-", text)


def split(words: tuple[Token, ...], mark: str) -> list[tuple[Token, ...]]:
    """Split tokens at a mark (or the word `in`) that stands outside all brackets."""
    depth, parts, start = 0, [], 0
    for at, word in enumerate(words):
        if word.kind == "text":
            continue
        depth += (word.text in _OPEN) - (word.text in _CLOSE)
        if depth == 0 and word.text == mark:
            parts.append(words[start:at])
            start = at + 1
    parts.append(words[start:])
    return parts


def unwrapped(words: tuple[Token, ...]) -> tuple[Token, ...]:
    """Return tokens without the parentheses that hold all of them."""
    while len(words) > 2 and words[0].text == "(" and _closes_at(words) == len(words) - 1:
        words = words[1:-1]
    return words


def _conjuncts(words: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    words = unwrapped(words)
    if any(len(split(words, mark)) > 1 for mark in ("||", "?")):
        return [words]
    parts = split(words, "&&")
    return parts if len(parts) == 1 else [inner for part in parts for inner in _conjuncts(part)]


def _closes_at(words: tuple[Token, ...]) -> int:
    depth = 0
    for at, word in enumerate(words):
        if word.kind == "mark":
            depth += (word.text in _OPEN) - (word.text in _CLOSE)
            if depth == 0:
                return at
    return -1


def _condition(words: tuple[Token, ...]) -> Condition:
    if len(words) > 3 and (words[0].text, words[1].text, words[-1].text) == ("has", "(", ")"):
        name = _name(words[2:-1])
        return Has(*name) if name else Other(words)
    for at, word in enumerate(words):
        if word.kind == "mark" and word.text in _FLIPPED:
            return _comparison(words[:at], word.text, words[at + 1 :]) or Other(words)
    return Other(words)


def _comparison(left: tuple[Token, ...], op: str, right: tuple[Token, ...]) -> Comparison | None:
    for name_side, literal_side, seen_op in ((left, right, op), (right, left, _FLIPPED[op])):
        name, literal = _name(name_side), _literal(literal_side)
        if name is not None and literal is not None:
            return Comparison(name[0], seen_op, literal, name[1])
    return None


def _name(words: tuple[Token, ...]) -> tuple[str, bool] | None:
    """Return (name, said to be a label) for `x`, `labels.x` and `labels['x']`."""
    match [(word.kind, word.text) for word in words]:
        case [("name", name)] if name not in ("true", "false", "null"):
            return name, False
        case [("name", "labels"), ("mark", "."), ("name", name)]:
            return name, True
        case [("name", "labels"), ("mark", "["), ("text", name), ("mark", "]")]:
            return str(_text(name)), True
    return None


def _literal(words: tuple[Token, ...]) -> Literal | None:
    match [(word.kind, word.text) for word in words]:
        case [("text", text)]:
            return _text(text)
        case [("number", number)]:
            return _number(number)
        case [("mark", "-"), ("number", number)]:
            value = _number(number)
            return None if value is None else -value
        case [("name", "true" | "false" as word)]:
            return word == "true"
    return None


def _text(quoted: str) -> str | None:
    prefix = quoted[: len(quoted) - len(quoted.lstrip("rRbB"))]
    if prefix.strip("rR"):
        return None  # bytes: no label is
    try:
        return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        return None


def _number(text: str) -> int | float | None:
    if text[-1] in "uU":
        return None
    try:
        return int(text, 0) if re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", text) else float(text)
    except ValueError:  # a leading zero: CEL reads it, Python does not
        return int(text)
