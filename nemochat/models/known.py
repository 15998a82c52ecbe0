"""The short list of models that are known to be good for this job, and what is to be known of a model before it is used."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from nemochat.models.folders import nvigi_name

_FILE = Path(__file__).with_name("known.toml")
_NEMOVISION = "nemovision-4b-instruct"


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of the list. gigabytes: what has to be loaded, about. licence: "" where only its source can say. made_for, risks: the
    words of its maker's card, "" where nothing was copied from it."""

    name: str
    source: str
    sees: bool
    gigabytes: float
    page: str
    why: str
    quant: str = ""
    licence: str = ""
    made_for: str = ""
    risks: str = ""


class About(msgspec.Struct, frozen=True):
    """What is to be known of a model before it is used; each "" where nobody says it. page: where its maker says more."""

    licence: str = ""
    made_for: str = ""
    risks: str = ""
    page: str = ""

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Each with what it is, for a table."""
        nowhere = f"its files do not say; read {self.page}" if self.page else "its files do not say"
        said = (("licence", self.licence or nowhere), ("made for", self.made_for or nowhere), ("known risks", self.risks or nowhere))
        return (*said, ("its page", self.page)) if self.page else said

    def sentences(self) -> tuple[str, ...]:
        """The same for somebody who has just got it."""
        licence = f"Its licence: {self.licence}." if self.licence else "Its file does not say under which licence it may be used."
        use = f"Made for: {self.made_for}" if self.made_for else "Its files do not say what it is made for."
        risks = f"Known risks: {self.risks}" if self.risks else "Its files name no risks; what a model says may be wrong or offensive."
        return (licence, use, risks, *([f"More: {self.page}"] if self.page else []))

    def in_words(self, name: str) -> str:
        """One line for whoever uses it for the first time."""
        licence = f"its licence is {self.licence}" if self.licence else "its files do not say under which licence it may be used"
        made_for = f" Made for: {self.made_for.rstrip('.')}." if self.made_for else ""
        risks = self.risks or "What a model says may be wrong, biased or offensive."
        more = f" More: {self.page}" if self.page else f" More: nemochat models show {name}"
        return f"First use of {name}: {licence}.{made_for} {risks}{more}"


@cache
def known_models() -> tuple[Known, ...]:
    """The list, Nemovision first."""
    return tuple(msgspec.toml.decode(_FILE.read_bytes(), type=dict[str, list[Known]])["model"])


def find_known(name: str) -> Known | None:
    """The model of the list of that name."""
    return next((each for each in known_models() if each.name == name.strip().lower()), None)


def about(model: Path, source: str, licence: str, licence_of_file: str = "") -> About:
    """What is known of a model. source, licence: where it came from and what was said there, "" for neither; licence_of_file: as its header
    says it. The list knows a model by where it came from, and Nemovision also by the folder in which NVIDIA packs it."""
    is_nemovision = (nvigi_name(model) or "").startswith(_NEMOVISION)
    for each in known_models():
        if (source and _same_source(source, each.source)) or (is_nemovision and each.name == _NEMOVISION):
            return About(licence or each.licence or licence_of_file, each.made_for, each.risks, each.page)
    page = f"https://huggingface.co/{source.removeprefix('hf.co/')}" if source.startswith("hf.co/") else ""
    return About(licence or licence_of_file, page=page)


def _same_source(source: str, known: str) -> bool:
    """Whatever the version."""
    return source.rpartition(":")[0] == known.rpartition(":")[0] if known.startswith("ngc:") else source.lower() == known.lower()
