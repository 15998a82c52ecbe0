"""Where models come from: Hugging Face, NGC or any address; what a source has, how large it is, and under which terms."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.errors import DownloadError
from nemochat.models import web
from nemochat.models.download import Remote
from nemochat.models.web import Place, RefusedError
from nemochat.reading import listed, mapping, member, tables

if TYPE_CHECKING:
    import httpx2

HUB, CATALOG = "https://huggingface.co", "https://catalog.ngc.nvidia.com"
_NGC, _NGC_AUTH = "https://api.ngc.nvidia.com", "https://authn.nvidia.com"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}"
_REPOSITORY = re.compile(rf"({_NAME}/{_NAME})(?::([^/\s]{{1,200}}))?")
_FILE_OF_REPOSITORY = re.compile(rf"({_NAME}/{_NAME})[:/](.{{1,400}}\.gguf)", re.IGNORECASE)
_HUB_PAGE = re.compile(rf"/({_NAME}/{_NAME})(?:/(?:resolve|blob|tree)/([^/]+)(?:/(.+))?)?/?")
_NGC_NAME = re.compile(rf"({_NAME})/(?:({_NAME})/)?({_NAME})(?::({_NAME}))?")
_NGC_PAGE = re.compile(rf"/orgs/({_NAME})(?:/teams/({_NAME}))?/models/({_NAME})(?:/.*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_PAGES = 50
_MOST_FILES = 50_000
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_NOT_IN_NAMES = frozenset('<>:"|?*\\')


class Source(msgspec.Struct, frozen=True):
    """What was typed. kind: "hf", "ngc" or "web". name: owner/repository, org/[team/]model, or the address. version: a branch, a commit, or
    a version of NGC's, "" for the newest. quant, file: which model of it, "" where that was not said."""

    kind: str
    name: str
    version: str = ""
    quant: str = ""
    file: str = ""

    @property
    def typed(self) -> str:
        """What can be typed for it again."""
        version = f":{self.version}" if self.version else ""
        return {"hf": f"hf.co/{self.name}", "ngc": f"ngc:{self.name}{version}"}.get(self.kind, self.name)


class Offer(msgspec.Struct, frozen=True):
    """What a source has. files: those that may be models or hold some. licence: "" where it does not say. terms: a sentence where something
    has to be accepted first, else "". folder: where its files lie below nemochat's own."""

    source: Source
    files: tuple[Remote, ...]
    place: Place
    folder: PurePosixPath
    licence: str = ""
    terms: str = ""


def read_source(text: str) -> Source | None:
    """What a typed text means; None when it is none of these. Raises DownloadError for an address that cannot be asked."""
    text = text.strip()
    if text.lower().startswith("ngc:"):
        return _ngc_source(text[4:].removeprefix("//"))
    for beginning in ("hf.co/", "huggingface.co/", "hf:"):
        if text.lower().startswith(beginning):
            return _hub_source(text[len(beginning) :])
    if "://" in text:
        parts = web.checked(text)
        if parts.hostname in ("huggingface.co", "hf.co", "www.huggingface.co") and (found := _HUB_PAGE.fullmatch(unquote(parts.path))):
            return Source("hf", found[1], found[2] or "", file=found[3] if found[3] and found[3].lower().endswith(".gguf") else "")
        if parts.hostname == "catalog.ngc.nvidia.com" and (found := _NGC_PAGE.fullmatch(parts.path)):
            return Source("ngc", "/".join(filter(None, (found[1], found[2], found[3]))))
        return Source("web", text)
    return _hub_source(text)


def look(asker: httpx2.Client, source: Source, environment: Mapping[str, str] = os.environ) -> Offer:
    """Ask what a source has. Raises DownloadError."""
    if source.kind == "hf":
        return _look_at_hub(asker, source, environment)
    return _look_at_ngc(asker, source, environment) if source.kind == "ngc" else _look_at_address(source)


def safe_path(path: str) -> PurePosixPath:
    """A name that a server or an archive gives a file, as a path that stays below its folder on every system. Raises DownloadError."""
    names = path.split("/")
    for name in names:
        is_odd = not name or name.startswith(".") or name.endswith((".", " ")) or len(name.encode("utf-8", "replace")) > 200
        if is_odd or sanitize(name, strict=True) != name or _NOT_IN_NAMES & set(name) or _RESERVED.fullmatch(name):
            shown = sanitize(path, strict=True)[:120]
            raise DownloadError(f"A file there has a name that is not taken: {shown!r}.", "Download it in a browser, and rename it.")
    if len(names) > 12:
        raise DownloadError("A file there lies in too many folders.", "Download it in a browser, then: nemochat models add FILE")
    return PurePosixPath(*names)


# -- Hugging Face


def _hub_source(text: str) -> Source | None:
    if found := _FILE_OF_REPOSITORY.fullmatch(text):
        return Source("hf", found[1], file=found[2])
    found = _REPOSITORY.fullmatch(text)
    return Source("hf", found[1], quant=found[2] or "") if found else None


def _look_at_hub(asker: httpx2.Client, source: Source, environment: Mapping[str, str]) -> Offer:
    endpoint = (environment.get("HF_ENDPOINT", "").strip() or HUB).rstrip("/")
    page = f"{endpoint}/{source.name}"
    place = Place(source.name, page, "hf", web.hub_secret(endpoint, environment))
    api = f"{endpoint}/api/models/{source.name}"
    at = f"/revision/{quote(source.version, safe='')}" if source.version else ""
    said = _table(web.get_json(asker, f"{api}{at}?blobs=true", place), place)
    commit = said.get("sha")
    revision = commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else source.version or "main"
    files = _hub_files(said.get("siblings"), "rfilename", page, revision)
    if any(file.size is None for file in files) or not files:
        tree = web.get_json(asker, f"{api}/tree/{quote(revision, safe='')}?recursive=true", place)
        files = _hub_files(tree, "path", page, revision) or files
    gated = said.get("gated")
    terms = f"Its terms have to be accepted once, with an account: {page}" if gated not in (None, False) else ""
    return Offer(source, tuple(files), place, PurePosixPath("hf", source.name), _hub_licence(said), terms)


def _hub_files(said: object, key: str, page: str, revision: str) -> list[Remote]:
    files = []
    for each in tables(said)[:_MOST_FILES]:
        path = member(each, str, key)
        if path is None or not path.lower().endswith((".gguf", ".zip")) or each.get("type", "file") != "file":
            continue
        lfs = mapping(each, "lfs")
        sha256 = lfs.get("sha256") or lfs.get("oid")
        url = f"{page}/resolve/{quote(revision, safe='')}/{quote(path)}"
        files.append(Remote(path, url, _size(lfs.get("size", each.get("size"))), _hash(sha256)))
    return files


def _hub_licence(said: Mapping[str, Any]) -> str:
    card = mapping(said, "cardData")
    licence = card.get("license")
    if licence == "other" or isinstance(licence, list):
        licence = card.get("license_name") or (licence[0] if isinstance(licence, list) and licence else "other")
    if not isinstance(licence, str):
        licence = next((tag[8:] for tag in listed(said, "tags") if isinstance(tag, str) and tag.startswith("license:")), "")
    link = member(card, str, "license_link") or ""
    where = f" ({link})" if link.startswith("https://") else ""
    return _line(f"{licence}{where}") if licence else ""


# -- NGC


def _ngc_source(text: str) -> Source:
    found = _NGC_NAME.fullmatch(text.strip("/"))
    if found is None:
        raise DownloadError(f"This is no name of NGC's: {_line(text)}", "One is ngc:org/model:version or ngc:org/team/model:version.")
    return Source("ngc", "/".join(filter(None, found.groups()[:3])), found[4] or "")


def _look_at_ngc(asker: httpx2.Client, source: Source, environment: Mapping[str, str]) -> Offer:
    api = _base(environment.get("NGC_CLI_API_URL", "") or _NGC)
    auth = _base(environment.get("NGC_CLI_AUTH_URL", "") or _NGC_AUTH)
    org, *teams, model = source.name.split("/")
    team = teams[0] if teams else ""
    page = f"{CATALOG}/orgs/{org}{f'/teams/{team}' if team else ''}/models/{model}"
    secret = web.ngc_secret(asker, api, auth, org, team, environment)
    place = Place(source.name, page, "ngc", secret)
    owner = f"org/{org}{f'/team/{team}' if team else ''}"
    # Without a key there are other routes, for what everybody may have.
    about = f"{api}/v2/{owner}/models/{model}" if secret.header else f"{api}/v2/models/{source.name}"
    files_of = f"{api}/v2/{owner}/models/{model}" if secret.header else f"{api}/v2/models/{owner}/{model}"
    said = _ngc_model(asker, about, place)
    version = source.version or str(said.get("latestVersionIdStr") or "")
    if not re.fullmatch(_NAME, version):
        raise DownloadError(f"NGC does not say which version of {source.name} is the newest.", f"Add :VERSION; they are on {page}.")
    place = msgspec.structs.replace(place, what=f"{source.name}:{version}")
    files = []
    for each in _ngc_pages(asker, f"{about}/versions/{quote(version)}/files?page-size=1000", place):
        path = (member(each, str, "path") or "").lstrip("/")
        if path.lower().endswith((".gguf", ".zip")):
            url = f"{files_of}/{quote(version)}/files?path={quote(path, safe='')}"
            files.append(Remote(path, url, _size(each.get("sizeInBytes")), _hash_of_base64(each.get("sha256_base64"))))
    licence, terms = _ngc_terms(said, page)
    folder = PurePosixPath("ngc", *filter(None, (org, team, model)), safe_path(version))
    return Offer(msgspec.structs.replace(source, version=version), tuple(files), place, folder, licence, terms)


def _ngc_model(asker: httpx2.Client, about: str, place: Place) -> Mapping[str, Any]:
    """What NGC says of a model; nothing where it keeps that to itself, and gives the files all the same."""
    try:
        said = _table(web.get_json(asker, about, place), place)
    except RefusedError as error:
        if error.status not in (404, 405):
            raise
        return {}
    return mapping(said, "model")


def _ngc_pages(asker: httpx2.Client, url: str, place: Place) -> Iterator[Mapping[str, Any]]:
    for number in range(_MOST_PAGES):
        said = _table(web.get_json(asker, f"{url}&page-number={number}" if number else url, place), place)
        yield from tables(said, "modelFiles")
        total = mapping(said, "paginationInfo").get("totalPages")
        if not isinstance(total, int) or number + 1 >= total:
            return


def _ngc_terms(said: Mapping[str, Any], page: str) -> tuple[str, str]:
    terms = tables(said, "licenseTerms")
    names = [each.get("title") or each.get("governingTerms") or each.get("licenseId") for each in terms]
    licence = _line(", ".join(name for name in names if isinstance(name, str)))
    needed = any(each.get("needsAcceptance") is True for each in terms)
    return licence, f"Its terms have to be accepted once, with an account: {page}" if needed else ""


# -- any address


def _look_at_address(source: Source) -> Offer:
    parts = urlsplit(source.name)
    name = unquote(parts.path).rpartition("/")[2]
    if not name.lower().endswith((".gguf", ".zip")):
        hint = "Give the address of a .gguf or .zip file, or a repository as owner/name."
        raise DownloadError(f"This address names no model: {_line(source.name)}", hint)
    folder = PurePosixPath("web", safe_path(re.sub(r"[^a-z0-9.-]", "-", (parts.netloc or "").lower())))
    page = f"{parts.scheme}://{parts.netloc}/"
    warning = f"{web.host(source.name)} is not asked by https: others on the way may change what comes."
    terms = "" if web.keeps_secrets(source.name) else warning
    return Offer(source, (Remote(name, source.name),), Place(_line(name), page), folder, terms=terms)


# -- values of others


def _table(said: object, place: Place) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise DownloadError(f"What the server says of {place.what} is no table.", f"Open {place.page} in a browser to see what it says.")
    return said


def _base(url: str) -> str:
    return (url if "://" in url else f"https://{url}").rstrip("/")


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 50 else None


def _hash(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else ""


def _hash_of_base64(value: object) -> str:
    try:
        return _hash(base64.b64decode(value, validate=True).hex()) if isinstance(value, str) else ""
    except ValueError:
        return ""


def _line(text: str) -> str:
    return sanitize(text, strict=True).strip()[:200]
