"""Bytes of a text file as text: UTF-8, or what the file itself declares; everything else is refused
by its likely name.

A file declares its encoding by a byte order mark or by an XML declaration (XML 1.0, appendix F). A
guess is never used to read: one wrong letter makes another name, and two nodes of one file could
become one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import NamedTuple

from veribayes.errors import ModelError
from veribayes.models._check import shown

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
XML_STARTS = ((b"<\x00?\x00", "utf-16-le"), (b"\x00<\x00?", "utf-16-be"))
DECLARATION = re.compile(
    rb"\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})[\"']"
)
# Character sets that a text file may declare; Python knows more codecs, and some of them are
# programs (base64, punycode).
DECLARABLE = re.compile(
    r"utf-?8|utf-?16|us-ascii|ascii|iso-8859-\d{1,2}|iso8859-\d{1,2}|latin-?\d|windows-\d{3,4}|cp\d{3,4}|koi8-[rut]"
    r"|shift_jis|shift-jis|sjis|euc-jp|euc-kr|iso-2022-jp|gb2312|gbk|gb18030|big5|mac(?:roman|intosh)",
    re.IGNORECASE,
)
SAMPLE = 2**20  # bytes that a guess looks at
# no letters in ISO 8859; Windows has quotes and signs there, Shift-JIS its first bytes
CONTROL = range(0x80, 0xA0)


class Language(NamedTuple):
    """Characters by which a guess recognises an encoding.

    Attributes:
        encoding: its codec.
        blocks: pairs of the first and the last character of what its texts are made of; lower case
            where there are cases.
        least: share of the characters beyond ASCII that must be in the blocks.
        sign: block of which at least one character must occur.
    """

    encoding: str
    blocks: tuple[tuple[str, str], ...]
    least: float = 0.5
    sign: tuple[str, str] | None = None


KANA = ("\u3041", "\u30ff")
IDEOGRAPHS = ("一", "鿿")
HANGUL = ("가", "힣")
CYRILLIC = ("а", "я")
GREEK = ("ά", "ώ")
JAPANESE = (KANA, IDEOGRAPHS)
MULTIBYTE = (
    Language("shift_jis", JAPANESE, 0.9, KANA),
    Language("euc_jp", JAPANESE, 0.9, KANA),
    Language("euc_kr", (HANGUL,), 0.95),
    Language("gbk", (IDEOGRAPHS,)),
    Language("big5", (IDEOGRAPHS,)),
)
SINGLE = (
    Language("cp1251", (CYRILLIC,), 0.75),
    Language("koi8-r", (CYRILLIC,), 0.75),
    Language("cp1253", (GREEK,), 0.75),
)
SHOWN = {
    "cp1251": "WINDOWS-1251",
    "cp1253": "WINDOWS-1253",
    "koi8-r": "KOI8-R",
    "shift_jis": "SHIFT_JIS",
    "euc_jp": "EUC-JP",
    "euc_kr": "EUC-KR",
    "gbk": "GBK",
    "big5": "BIG5",
}
WORDS, BEYOND = re.compile(rb"[A-Za-z\x80-\xff]+"), bytes(range(0x80, 0x100))
HALF = 0.5  # of what is beyond ASCII, if it is the letters of Latin words


def decoded(data: bytes, name: str) -> str:
    """The text of a file.

    Raises:
        ModelError: neither UTF-8 nor what the file declares; the message says what it looks like.
    """
    encoding, length = _declared(data, name)
    try:
        return data[length:].decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        place = "all of it"
        if isinstance(error, UnicodeDecodeError):
            place = f"byte {length + error.start}"
        likely = likely_encoding(data)
        wanted = f"text in {encoding.upper()} in {name}"
        remedy = f"save it as UTF-8, for example by iconv -f {likely} -t UTF-8"
        raise ModelError(wanted, f"other bytes ({place}), likely {likely}", remedy) from None


def _declared(data: bytes, name: str) -> tuple[str, int]:
    """The codec that a file asks for, and the number of bytes of its mark."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            # the other codecs read their own marks
            return encoding, len(mark) if encoding == "utf-8" else 0
    for start, encoding in XML_STARTS:
        if data.startswith(start):
            return encoding, 0
    match = DECLARATION.match(data)
    if match is None:
        return "utf-8", 0
    declared = match[1].decode("ascii")
    if not DECLARABLE.fullmatch(declared) or not _known(declared):
        remedy = "save it as UTF-8 and declare that"
        wanted = f"the name of a character set in the XML declaration of {name}"
        raise ModelError(wanted, shown(declared), remedy)
    if codecs.lookup(declared).name.startswith("utf-16"):  # it would not have been read as ASCII
        wanted = f"the encoding that {name} declares, {declared}"
        raise ModelError(wanted, "bytes of another one", "correct its first line")
    return declared, 0


def _known(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)
    except LookupError:
        return False
    return True


# -- what it looks like ----------------------------------------------------------------------------


def likely_encoding(data: bytes) -> str:
    """The name of the encoding that the bytes look like, for a message; never used to read them."""
    some = data[:SAMPLE]
    if some.count(0) * 4 > len(some):
        little = some[1::2].count(0) >= some[::2].count(0)
        return "UTF-16LE" if little else "UTF-16BE"
    latin = "WINDOWS-1252" if any(b in CONTROL for b in some) else "ISO-8859-1"
    multibyte = _has_first_bytes(some)
    if not multibyte and _share_of_accents(some) >= HALF:
        return latin
    for languages in (MULTIBYTE,) if multibyte else (SINGLE, MULTIBYTE):
        shares = [_explained(some, language) for language in languages]
        best = max(shares)
        if best > 0:
            first = languages[shares.index(best)]
            return SHOWN[first.encoding]
    return latin


def _share_of_accents(data: bytes) -> float:
    """Share of the bytes beyond ASCII that stand alone or among letters of ASCII, as accented ones
    do.
    """
    words = WORDS.findall(data)
    accents, beyond = 0, 0
    for word in words:
        count = len(word) - len(word.translate(None, BEYOND))
        beyond += count
        if count < len(word) or count == 1:
            accents += count
    return accents / max(beyond, 1)


def _has_first_bytes(data: bytes) -> bool:
    """Whether a tenth of the bytes beyond ASCII are no letters of any alphabet with one byte a
    letter.
    """
    beyond = [byte for byte in data if byte >= 0x80]
    controls = sum(byte in CONTROL for byte in beyond)
    return 10 * controls > len(beyond)


def _explained(data: bytes, kind: Language) -> float:
    """Share of the characters beyond ASCII that are in the blocks, if this can be the encoding,
    else 0.
    """
    try:
        decoder = codecs.getincrementaldecoder(kind.encoding)()
        text = decoder.decode(data)  # a sample may end inside a character
    except UnicodeDecodeError:
        return 0.0
    beyond = [character for character in text if character > "\x7f"]
    inside = sum(_is_in(character, kind.blocks) for character in beyond)
    share = inside / max(len(beyond), 1)
    if share < kind.least:
        return 0.0
    signed = kind.sign is None or any(_is_in(character, (kind.sign,)) for character in beyond)
    return share if signed else 0.0


def _is_in(character: str, blocks: Sequence[tuple[str, str]]) -> bool:
    return any(first <= character <= last for first, last in blocks)
