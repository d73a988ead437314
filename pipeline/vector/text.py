"""Text in Shapefiles: which encoding the files declare, and which ones fit the bytes where they declare none."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

RAW = "ISO-8859-1"
"""As GDAL reads text of an unknown encoding: each byte is one character, so nothing is lost."""

_CANDIDATES = ("utf-8", "gbk", "big5", "cp932", "cp949", "cp1252", "cp1250", "cp1251", "cp866", "cp1253", "cp1254", "cp850")
"""Of the code pages of Windows and DOS that GIS programs write; the first of several that fit equally well stands first."""
_SHOWN, _SHOWN_TEXTS = 3, 3
_LANGUAGE_BYTE = 29
_SYSTEM_PAGE = 0x57
"""Language byte of a .dbf that means "whatever the system had": it declares nothing."""
_COMMON_HANZI = range(0xB0, 0xD8)
"""Lead bytes of GB 2312's first level, the 3,755 characters in common use."""


@dataclass(frozen=True)
class FittingEncoding:
    """An encoding that the bytes of a file can have."""

    name: str
    """As Python and `encoding:` know it."""
    texts: tuple[str, ...]
    """The first few texts as they read in it."""


def is_undeclared(path: Path, read_as: str) -> bool:
    """Return whether nothing beside a Shapefile names the encoding of its text.

    Args:
        path: The file, of any format.
        read_as: The encoding in which GDAL reads it.
    """
    if path.suffix.lower() != ".shp":
        return False
    return read_as == RAW or (not _beside(path, ".cpg") and _language(path) == _SYSTEM_PAGE)


def _beside(path: Path, suffix: str) -> list[Path]:
    return [f for f in path.parent.iterdir() if f.stem == path.stem and f.suffix.lower() == suffix]


def _language(path: Path) -> int:
    """Return the byte of the .dbf that stands for a language; 0 means that it names none."""
    for table in _beside(path, ".dbf"):
        with table.open("rb") as stream:
            head = stream.read(_LANGUAGE_BYTE + 1)
        return head[_LANGUAGE_BYTE] if len(head) > _LANGUAGE_BYTE else 0
    return 0


def fitting_encodings(texts: Iterable[bytes]) -> tuple[FittingEncoding, ...]:
    """Find encodings in which bytes read as words, the likeliest first.

    Bytes that are valid UTF-8 are UTF-8: text of another encoding is so by chance only where it is a few bytes long. Others
    are ranked by how much they look like words: letters of one script a word, no signs within it, no capitals after small
    letters. Which of two similar code pages is meant a person sees at once, so none is chosen here.

    Args:
        texts: Non-ASCII ones; the same one may be there often.

    Returns:
        Empty where nothing fits.
    """
    raw = list(dict.fromkeys(texts))
    if not raw:
        return ()
    found = [(name, decoded) for name in _CANDIDATES if (decoded := _decode(raw, name)) is not None]
    if found and found[0][0] == "utf-8":
        found = found[:1]
    ranked = sorted(found, key=lambda entry: _oddness(entry[1], entry[0]))
    return tuple(FittingEncoding(name, tuple(decoded[:_SHOWN_TEXTS])) for name, decoded in ranked[:_SHOWN])


def _decode(raw: list[bytes], name: str) -> list[str] | None:
    try:
        texts = [text.decode(name) for text in raw]
    except UnicodeDecodeError:
        return None
    return None if any(unicodedata.category(c).startswith("C") for text in texts for c in text) else texts


def _oddness(texts: list[str], encoding: str) -> float:
    """Return how little texts look like words, 0 = not at all, per character."""
    odd = 0.0
    for text in texts:
        previous = ""
        for c in text:
            kind = unicodedata.category(c)
            odd += kind.startswith("S") or kind == "No"
            odd += kind == "Lu" and previous != "" and unicodedata.category(previous) == "Ll"
            odd += kind.startswith("L") and previous.isalpha() and _script(c) != _script(previous)
            odd += _is_rare(c, encoding)
            # Words of Western languages have an accent here and there; Cyrillic that is taken for them has nothing else.
            odd += 0.2 * (not c.isascii() and not previous.isascii() and _script(c) == _script(previous) == "LATIN")
            previous = c
        letters = [c for c in text if c.isalpha() and c.lower() != c.upper()]
        capitals = sum(c.isupper() for c in letters)
        odd += bool(letters) and 1 < capitals < len(letters) and not text.istitle()
    return odd / max(sum(len(t) for t in texts), 1)


def _script(c: str) -> str:
    """Return the first word of a character's name, which is its script; Japanese mixes three."""
    script = unicodedata.name(c, "UNKNOWN").partition(" ")[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA") else script


def _is_rare(c: str, encoding: str) -> float:
    """Return 0 for a character in common use where it is a Chinese one, 0.5 for others of that script."""
    if _script(c) != "CJK":
        return 0.0
    try:
        # Big5 puts its common characters before 0xC9, in the order of strokes.
        lead = c.encode("gb2312" if encoding == "gbk" else encoding)[0]
    except UnicodeEncodeError:
        return 0.5
    common = {"gbk": lead in _COMMON_HANZI, "big5": lead < 0xC9, "cp932": lead < 0x98}
    return 0.0 if common.get(encoding, False) else 0.5


def describe_encodings(path: Path, fitting: Sequence[FittingEncoding], section: str) -> str:
    """Write a message about a Shapefile whose text has no declared encoding.

    Args:
        path: The file.
        fitting: From `fitting_encodings`.
        section: Of the config, that has a key `encoding:`; empty where none has.
    """
    if not fitting:
        return (
            f"{path} does not declare the encoding of its text (it has no .cpg file), and none that is known here fits. Save "
            f"it again as a GeoPackage where it is shown rightly."
        )
    listed = "; ".join(f"{f.name}: {', '.join(f.texts)}" for f in fitting)
    key = f"set `{section}: encoding: {fitting[0].name}`, or " if section else ""
    return (
        f"{path} does not declare the encoding of its text (it has no .cpg file), and not all of it is UTF-8. What it reads in "
        f"encodings that fit: {listed}. Choose the one in which it reads rightly: {key}write its name, such as "
        f"{fitting[0].name}, into a text file {path.stem}.cpg beside it."
    )


def describe_wrong_encoding(path: Path, stated: str | None, section: str, error: UnicodeDecodeError) -> str:
    """Write a message about text that does not fit the encoding that is declared for it."""
    wrong = error.object[max(error.start - 8, 0) : error.end + 8].strip(b"\0 ")
    fitting = fitting_encodings([wrong])
    listed = f" Encodings that fit: {'; '.join(f'{f.name}: {f.texts[0]}' for f in fitting)}." if fitting else ""
    if stated is not None:
        return (
            f"{path} holds text that is not {stated} (`{section}: encoding: {stated}`).{listed} Name another, or leave the key "
            f"out."
        )
    key = f"set `{section}: encoding:` to the right one, or " if section else ""
    return (
        f"{path} holds text that is not {error.encoding}, which it declares.{listed} To mend it, {key}write its name into the "
        f"text file {path.stem}.cpg beside it."
    )
