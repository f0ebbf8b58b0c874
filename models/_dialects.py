"""Formats and dialects that are known by name and not read, so that a refusal can say what a file
is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

SAVE_AS = "save it as BIF, XMLBIF, XDSL, NET or UAI"
UNQUOTED = (
    "names with blanks or commas need quotes; some writers, pgmpy among them, leave those out"
)


class Dialect(NamedTuple):
    """A format that is not read: its name, and what to do instead."""

    name: str
    remedy: str = SAVE_AS


SUFFIXES: Mapping[str, Dialect] = {
    ".dsl": Dialect("GeNIe's old format DSL", "save it as XDSL or NET"),
    ".dne": Dialect("Netica's format DNET", "export it from Netica as BIF or NET"),
    ".dnet": Dialect("Netica's format DNET", "export it from Netica as BIF or NET"),
    ".neta": Dialect("Netica's binary format", "export it from Netica as BIF or NET"),
    ".dsc": Dialect(
        "the format DSC of Microsoft's Belief Networks", "convert it, for example by GeNIe"
    ),
    ".xbn": Dialect("Microsoft's format XBN", "convert it, for example by GeNIe"),
    ".pgmx": Dialect("OpenMarkov's format ProbModelXML", "export it from OpenMarkov as NET"),
    ".oobn": Dialect("HUGIN's object-oriented networks", "save the network without classes as NET"),
    ".hkb": Dialect("HUGIN's binary knowledge base", "save it as NET"),
    ".ergo": Dialect("the format of Ergo"),
    ".ent": Dialect("the format of Ergo"),
    ".pomdpx": Dialect("PomdpX, which describes decisions"),
    ".o3prm": Dialect("O3PRM, probabilistic relational models"),
    ".jgum": Dialect("pyAgrum's own JSON"),
    ".bgum": Dialect("pyAgrum's own binary format"),
    ".cn": Dialect("a credal network, which has no single posterior"),
    ".pkl": Dialect("a pickle, which is a program and is never opened"),
    ".pickle": Dialect("a pickle, which is a program and is never opened"),
    ".rda": Dialect("R's own format", "write it from bnlearn with write.bif"),
    ".rds": Dialect("R's own format", "write it from bnlearn with write.bif"),
    ".json": Dialect("JSON, which no network format is agreed on"),
    ".pmml": Dialect("PMML"),
}
ROOTS: Mapping[str, Dialect] = {
    "BIF": Dialect("XMLBIF", "give it the suffix .xmlbif"),
    "SMILE": Dialect("XDSL", "give it the suffix .xdsl"),
    "ANALYSISNOTEBOOK": SUFFIXES[".xbn"],
    "PROBMODELXML": SUFFIXES[".pgmx"],
    "POMDPX": SUFFIXES[".pomdpx"],
    "PMML": SUFFIXES[".pmml"],
}
BEGINNINGS: tuple[tuple[str, Dialect], ...] = (
    (r"<\?xml|<!--|<[A-Za-z]", Dialect("XML", "give it the suffix .xmlbif or .xdsl")),
    (r"(?:BAYES|MARKOV)\b", Dialect("UAI", "give it the suffix .uai")),
    (r"network\b|variable\b", Dialect("BIF", "give it the suffix .bif")),
    (r"net\s*\{|(?:discrete\s+)?node\s", Dialect("NET", "give it the suffix .net")),
    (r"class\s", SUFFIXES[".oobn"]),
    (r"//\s*~->\[DNET|bnet\b", SUFFIXES[".dne"]),
    (r"belief\s+network", SUFFIXES[".dsc"]),
    (r"(?:class|system|type|import)\s.*", SUFFIXES[".o3prm"]),
    (r"[\[{]", SUFFIXES[".json"]),
)
START = 2000  # characters of a text that tell its format


def dialect_of(file_name: str) -> Dialect | None:
    """The format that a file's suffix names, where it is one that is not read."""
    name = file_name.lower().removesuffix(".gz")
    return next((dialect for suffix, dialect in SUFFIXES.items() if name.endswith(suffix)), None)


def looks_like(text: str) -> str:
    """What a text begins like, as a remedy; empty where that is unknown."""
    start = text[:START].lstrip()
    for pattern, dialect in BEGINNINGS:
        if re.match(pattern, start):
            return f"it looks like {dialect.name}: {dialect.remedy}"
    return ""
