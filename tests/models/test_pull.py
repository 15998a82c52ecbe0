"""Getting models from servers on the loopback: what is there at the end is right, or it is not there."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemochat.errors import DownloadError, ModelFileError
from nemochat.models import download, inspect, pull
from nemochat.models.catalogue import Catalogue, Entry
from nemochat.models.pull import Plan, Progress, Puller, Wish
from nemochat.models.sources import Source, read_source, safe_path
from nemochat.system.locks import lock
from tests.models.hub import COMMIT, TOKEN, Hub
from tests.tiny_gguf import write_language_model, write_projector

MODEL, PROJECTOR = "tiny-Q4_K_M.gguf", "mmproj-tiny-F16.gguf"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("pair")
    files = write_language_model(folder / MODEL), write_projector(folder / PROJECTOR)
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture
def hub(pair: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("HOME", "/nonexistent")
    served = Hub(dict(pair))
    yield served
    served.close()


class Home:
    """A user's folders, and the program that gets models into them."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.models, self.hub = folder / "models", hub
        self.catalogue = Catalogue(folder / "models.json")
        self.environment = dict(hub.environment)
        self.progress: list[Progress] = []

    @property
    def puller(self) -> Puller:
        return Puller(self.models, self.catalogue, self.environment)

    def pull(self, source: str = "owner/model", *, quant: str = "", stopped: Callable[[], bool] = lambda: False) -> Entry:
        puller = self.puller
        return puller.pull(puller.plan(Wish(source, quant)), self.progress.append, stopped)

    def plan(self, source: str = "owner/model") -> Plan:
        return self.puller.plan(Wish(source))

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.models.rglob("*") if path.is_file())


@pytest.fixture
def home(tmp_path: Path, hub: Hub) -> Home:
    return Home(tmp_path, hub)


def refusal(home: Home, source: str = "owner/model") -> str:
    with pytest.raises((DownloadError, ModelFileError)) as refused:
        home.pull(source)
    return f"{refused.value.message} {refused.value.hint}"


def has(entry: Entry, pair: dict[str, bytes]) -> bool:
    assert entry.mmproj_path is not None
    return (Path(entry.model_path).read_bytes(), Path(entry.mmproj_path).read_bytes()) == tuple(pair.values())


def test_a_model_comes_with_its_projector_and_is_known(home: Home, pair: dict[str, bytes]) -> None:
    entry = home.pull()
    assert entry.name == "tiny"
    assert has(entry, pair)
    assert home.files == [PROJECTOR, MODEL]
    assert home.catalogue.get("tiny").origin.licence == "apache-2.0"
    assert (home.progress[-1].done, home.progress[-1].total) == (sum(map(len, pair.values())),) * 2
    assert Path(entry.model_path).stat().st_mode & 0o077 == 0


def test_what_is_there_is_not_loaded_again(home: Home) -> None:
    home.pull()
    home.hub.requests.clear()
    home.pull()
    assert home.hub.sent_to("cdn") == []


def test_a_token_goes_to_its_host_alone(home: Home) -> None:
    home.environment["HF_TOKEN"] = TOKEN
    home.pull()
    assert {headers.get("authorization") for _, headers in home.hub.sent_to("api")} == {f"Bearer {TOKEN}"}
    assert all("authorization" not in headers for _, headers in home.hub.sent_to("cdn"))
    assert len(home.hub.sent_to("cdn")) == 2


def test_a_token_is_taken_from_where_the_tools_of_the_hub_keep_it(home: Home, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    home.environment["HF_HOME"] = str(tmp_path)
    home.plan()
    assert home.hub.sent_to("api")[0][1]["authorization"] == f"Bearer {TOKEN}"


def test_a_token_is_never_shown(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home.environment["HF_TOKEN"] = TOKEN
    home.hub.gated = "manual"
    with caplog.at_level(0):
        assert TOKEN not in refusal(home)
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(home.plan())
    home.environment["HF_TOKEN"] = f"{TOKEN} and more\x1b"
    assert "HF_TOKEN holds no key" in refusal(home)


def test_a_network_that_is_cut_again_and_again_costs_nothing(home: Home, pair: dict[str, bytes]) -> None:
    size = len(pair[MODEL])
    chance = random.Random(1)
    home.hub.cuts = [chance.randrange(size // 10) for _ in range(20)]
    assert has(home.pull(), pair)
    ranges = [headers.get("range") for path, headers in home.hub.sent_to("cdn")]
    assert sum(each is not None for each in ranges) >= 15


@pytest.mark.parametrize(
    ("fault", "begins"),
    [
        ({"knows_ranges": False}, True),
        ({"has_etags": False}, False),
        ({"is_weak": True}, False),
        ({"tells_length": False}, False),
    ],
    ids=["no ranges", "no etags", "weak etags", "no length"],
)
def test_servers_that_know_less(home: Home, pair: dict[str, bytes], fault: dict[str, bool], begins: bool) -> None:
    for name, value in fault.items():
        setattr(home.hub, name, value)
    home.hub.cuts = [1000] * 3
    assert has(home.pull(), pair)
    assert home.files == [PROJECTOR, MODEL]
    assert begins or len(home.hub.sent_to("cdn")) >= 4


def test_stopped_at_any_moment_it_goes_on(home: Home, pair: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PIECE", 4096)
    chance = random.Random(2)
    for _ in range(20):
        left = chance.randrange(1, 12)

        def stopped() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        with pytest.raises(DownloadError):
            home.pull(stopped=stopped)
        assert MODEL not in home.files or (home.models / "hf/owner/model" / MODEL).read_bytes() == pair[MODEL]
        assert home.catalogue.entries()[1:] == ()
    assert [wish.source for wish in home.puller.unfinished()] == ["owner/model"]
    assert has(home.pull(), pair)
    assert home.puller.unfinished() == []
    assert home.files == [PROJECTOR, MODEL]


def test_killed_it_goes_on(home: Home, pair: dict[str, bytes], tmp_path: Path) -> None:
    home.hub.rate = len(pair[MODEL]) // 2
    program = "import sys; from nemochat.__main__ import main; main()"
    own = {f"NEMOCHAT_{kind}_DIR": str(tmp_path) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}
    command = [sys.executable, "-c", program, "models", "pull", "owner/model"]
    killed = subprocess.Popen(command, env={**os.environ, **home.environment, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    home.hub.on_bytes = lambda done: killed.send_signal(signal.SIGKILL) if done > len(pair[MODEL]) // 3 else None
    assert killed.wait(120) == -signal.SIGKILL
    assert MODEL not in home.files
    home.hub.on_bytes, home.hub.rate = None, 0
    home.hub.requests.clear()
    assert has(home.pull(), pair)
    assert int(home.hub.sent_to("cdn")[0][1]["range"][6:-1]) > 0


def test_what_was_damaged_on_the_disk_meanwhile_is_loaded_anew(home: Home, pair: dict[str, bytes]) -> None:
    home.hub.cuts = [50_000] + [0] * 9
    refusal(home)
    part = home.models / "hf/owner/model" / f"{MODEL}.part"
    part.write_bytes(b"\0" * part.stat().st_size)
    home.hub.cuts.clear()
    assert has(home.pull(), pair)


def test_a_network_that_does_not_come_back_is_said_and_nothing_is_lost(home: Home, pair: dict[str, bytes]) -> None:
    home.hub.cuts = [50_000] + [0] * 9
    assert "50 kB have come and are kept: run the same again" in refusal(home)
    home.hub.cuts.clear()
    home.hub.requests.clear()
    assert has(home.pull(), pair)
    assert home.hub.sent_to("cdn")[0][1]["range"] == "bytes=50000-"


def test_no_network(home: Home) -> None:
    home.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    said = refusal(home)
    assert said.startswith("127.0.0.1:9 cannot be reached")


def test_a_wrong_checksum_leaves_nothing(home: Home) -> None:
    home.hub.promised[MODEL] = "0" * 64
    assert "checksum" in refusal(home)
    assert [name for name in home.files if not name.endswith(".json")] == []
    assert len(home.catalogue.entries()) == 1


def test_a_file_that_changes_while_it_comes_is_not_mixed(home: Home, pair: dict[str, bytes]) -> None:
    plan = home.plan()
    home.hub.cuts = [50_000] + [0] * 9
    with pytest.raises(DownloadError):
        home.puller.pull(plan, home.progress.append)
    home.hub.cuts.clear()
    changed = bytearray(pair[MODEL])
    changed[-1] ^= 1
    home.hub.files[MODEL] = bytes(changed)
    with pytest.raises(DownloadError, match="not the file any more"):
        home.puller.pull(plan, home.progress.append)
    assert MODEL not in home.files
    entry = home.pull()
    assert Path(entry.model_path).read_bytes() == bytes(changed)


def test_at_an_address_a_changed_file_is_not_mixed_either(home: Home, pair: dict[str, bytes]) -> None:
    url = f"{home.hub.cdn_url}/{MODEL}"
    home.hub.cuts = [50_000] + [0] * 9
    refusal(home, url)
    home.hub.cuts.clear()
    changed = bytearray(pair[MODEL])
    changed[-1] ^= 1
    home.hub.files[MODEL] = bytes(changed)
    assert Path(home.pull(url).model_path).read_bytes() == bytes(changed)


def test_gated_without_a_key_it_says_where_the_terms_are_accepted(home: Home) -> None:
    home.hub.gated = "manual"
    plan = home.plan()
    assert plan.offer.terms == f"Its terms have to be accepted once, with an account: {home.hub.endpoint}/owner/model"
    said = refusal(home)
    assert "only to those who have accepted its terms (401)" in said
    assert f"Accept them at {home.hub.endpoint}/owner/model" in said
    assert "set HF_TOKEN" in said
    home.environment["HF_TOKEN"] = TOKEN
    said = refusal(home)
    assert "(403)" in said
    assert f"Accept them at {home.hub.endpoint}/owner/model, signed in" in said
    home.hub.accepted = True
    home.pull()


def test_what_is_not_there(home: Home) -> None:
    assert "or is not there at all (401)" in refusal(home, "owner/other")
    assert "owner/model has no Q2_K. There are: tiny-Q4_K_M.gguf." in refusal(home, "owner/model:Q2_K")
    assert "owner/model has no file other.gguf." in refusal(home, "owner/model:other.gguf")
    assert "This names no place" in refusal(home, "what?")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(home: Home, pair: dict[str, bytes], status: int) -> None:
    home.hub.statuses = [(status, {"Retry-After": "0"}), (status, {})]
    assert has(home.pull(), pair)


def test_a_server_that_stays_busy(home: Home) -> None:
    home.hub.statuses = [(429, {})] * 20
    assert "asks for fewer requests (429)" in refusal(home)


def test_a_web_page_is_no_model(home: Home) -> None:
    home.hub.page = b"<!DOCTYPE html><html>Please sign in</html>"
    assert "sent a web page in place of the file" in refusal(home)
    home.hub.page = b""
    home.hub.files[MODEL] = b"\n<html><body>Sign in</body></html>" * 100
    assert "sent a web page in place of the file" in refusal(home)
    assert [name for name in home.files if name.endswith(".gguf")] == []


def test_a_list_that_is_a_web_page(home: Home) -> None:
    home.environment["HF_ENDPOINT"] = home.hub.cdn_url
    home.hub.page = b"<html>Sign in</html>"
    assert "a web page: a proxy or a page to sign in" in refusal(home)


def test_what_is_packed_is_refused(home: Home, pair: dict[str, bytes]) -> None:
    home.hub.files[MODEL] = gzip.compress(pair[MODEL])
    home.hub.extra = {"Content-Encoding": "gzip"}
    assert "packs tiny-Q4_K_M.gguf, which was not asked for" in refusal(home)


def test_more_than_was_promised_is_not_taken(home: Home, pair: dict[str, bytes]) -> None:
    plan = home.plan()
    home.hub.files[MODEL] = pair[MODEL] + b"more"
    home.hub.promised[MODEL] = plan.files[0].sha256
    with pytest.raises(DownloadError, match="not the file any more"):
        home.puller.pull(plan, home.progress.append)
    home.hub.tells_length = False
    with pytest.raises(DownloadError, match="more than the file has"):
        home.puller.pull(plan, home.progress.append)
    assert MODEL not in home.files


def test_what_is_no_gguf_is_not_kept_though_nobody_promised_a_checksum(home: Home) -> None:
    home.hub.files["other.gguf"] = b"GGUF but no more"
    assert "no whole model file" in refusal(home, f"{home.hub.cdn_url}/other.gguf")
    assert [name for name in home.files if name != "models.json" and not name.endswith(".json")] == []


@pytest.mark.parametrize("target", ["{self}", "ftp://host/x", "http://", "//", "https://127.0.0.1:1/x"])
def test_redirects_that_lead_nowhere(home: Home, target: str) -> None:
    home.hub.redirects_to = target.replace("{self}", f"{home.hub.endpoint}/owner/model/resolve/main/{MODEL}")
    refusal(home)
    assert MODEL not in home.files


def test_no_room_is_said_before_anything_comes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    assert "There is no room for it" in refusal(home)
    assert home.hub.sent_to("cdn") == []


def test_a_disk_that_fills_up(home: Home, pair: dict[str, bytes]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(pair[MODEL]) // 2, limits[1]))
    try:
        said = refusal(home)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "is full" in said
    assert "what has come is kept" in said
    assert MODEL not in home.files
    home.hub.requests.clear()
    assert has(home.pull(), pair)
    assert home.hub.sent_to("cdn")[0][1]["range"] == f"bytes={len(pair[MODEL]) // 2}-"


def test_a_folder_that_may_not_be_written(home: Home) -> None:
    home.models.parent.joinpath("models").write_text("a file is in the way")
    assert "cannot be written" in refusal(home)


@pytest.mark.parametrize(
    "name",
    [
        *("../x-Q4_K_M.gguf", "/etc/x.gguf", "a/../../x.gguf", "a\\b.gguf", "C:x.gguf", ".x.gguf", "a//x.gguf", "nul.gguf"),
        *("x\x1b[31m.gguf", "x\u202e.gguf", "x\n.gguf", "x" * 250 + ".gguf"),
    ],
)
def test_hostile_names_of_files_lead_nowhere(home: Home, pair: dict[str, bytes], name: str) -> None:
    with pytest.raises(DownloadError):
        safe_path(name)
    home.hub.files = {name: pair[MODEL]}
    said = refusal(home)
    assert "\x1b" not in said
    assert home.files == []


def test_links_in_the_way_are_replaced_and_not_followed(home: Home, pair: dict[str, bytes], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    folder = home.models / "hf/owner/model"
    folder.mkdir(parents=True)
    (folder / MODEL).symlink_to(mine)
    (folder / f"{PROJECTOR}.part").symlink_to(mine)
    refusal(home)
    (folder / f"{PROJECTOR}.part").unlink()
    assert has(home.pull(), pair)
    assert mine.read_text() == "precious"


def test_split_models_come_whole(home: Home, pair: dict[str, bytes]) -> None:
    parts = {f"big/Q8_0/big-Q8_0-0000{number}-of-00002.gguf": b"GGUF" + bytes(100) for number in (1, 2)}
    home.hub.files = {"big/Q4/big-Q4-00001-of-00009.gguf": b"", **parts, "mmproj-F16.gguf": pair[PROJECTOR], "big/mmproj-Q8_0.gguf": b"x"}
    plan = home.plan("owner/model:Q8_0")
    assert [file.path for file in plan.files] == [*parts, "big/mmproj-Q8_0.gguf"]
    assert "A part of the model is missing there" in refusal(home, "owner/model:Q4-00001")


def test_two_programs_do_not_write_one_file(home: Home) -> None:
    home.hub.cuts = [50_000] + [0] * 9
    refusal(home)
    part = home.models / "hf/owner/model" / f"{MODEL}.part"
    with part.open("ab") as file:
        assert lock(file.fileno())
        home.hub.cuts.clear()
        assert "Another nemochat is downloading" in refusal(home)


def test_what_was_begun_can_be_thrown_away(home: Home) -> None:
    home.hub.cuts = [50_000] + [0] * 9
    refusal(home)
    wish = home.puller.unfinished()[0]
    home.puller.give_up(wish)
    assert home.files == []


def test_a_model_that_was_downloaded_is_deleted_with_its_name(home: Home) -> None:
    entry = home.pull()
    removed = home.catalogue.remove("tiny")
    assert pull.remove_files(removed, home.catalogue.entries(), home.models) == sum(map(len, home.hub.files.values()))
    assert not Path(entry.model_path).exists()
    assert sorted(path.name for path in home.models.iterdir()) == ["unfinished"]


def test_a_file_that_was_added_is_never_deleted(home: Home, tmp_path: Path) -> None:
    path = write_language_model(tmp_path / "own.gguf")
    home.catalogue.add(path)
    assert pull.remove_files(home.catalogue.remove("own"), home.catalogue.entries(), home.models) == 0
    assert path.exists()


def test_a_mirror_that_lists_its_files_elsewhere(home: Home, pair: dict[str, bytes]) -> None:
    home.hub.lists_siblings = False
    assert all(file.sha256 for file in home.plan().files)
    assert has(home.pull(), pair)


# -- NGC


@pytest.fixture
def archive(pair: dict[str, bytes], tmp_path: Path) -> bytes:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for guid, name in (("12", "minitron.gguf"), ("13", "minitron-Q4_0.gguf")):
            folder = f"0BAEDD5C-F2CA-49AA-9892-621C40030D{guid}"
            packed.writestr(f"{folder}/{name}", pair[MODEL])
            packed.writestr(f"{folder}/mmproj-model-f16.gguf", pair[PROJECTOR])
            packed.writestr(f"{folder}/nvigi.model.config.json", "{}")
        packed.writestr("../../evil.txt", "x")
    return path.read_bytes()


@pytest.mark.parametrize("key", ["nvapi-key", "old-key"])
def test_nemovision_comes_from_ngc_by_its_name_alone(home: Home, pair: dict[str, bytes], archive: bytes, key: str) -> None:
    home.hub.files = {"nemovision-4b-instruct-clip_gguf.zip": archive}
    home.hub.cuts = [1000, 2000]
    home.environment["NGC_API_KEY"] = key
    entry = home.pull("nemovision-4b-instruct")
    assert entry.name == "nemovision-4b-instruct"
    assert entry.model_path.endswith("0BAEDD5C-F2CA-49AA-9892-621C40030D13/minitron-Q4_0.gguf")
    assert has(entry, pair)
    assert home.files == ["minitron-Q4_0.gguf", "mmproj-model-f16.gguf"]
    assert all("authorization" not in headers for _, headers in home.hub.sent_to("cdn"))
    about = home.catalogue.about(entry.files, inspect(Path(entry.model_path)))
    assert about.licence == "NVIDIA Licence"
    assert "biased, toxic or incorrect" in about.risks
    assert "Visual question answering" in about.made_for


def test_ngc_wants_a_key(home: Home) -> None:
    said = refusal(home, "ngc:nvidia/ace/nemovision-4b-instruct")
    assert "only with an account" in said
    assert "https://org.ngc.nvidia.com/setup/api-keys" in said
    assert "NGC_API_KEY" in said
    home.environment["NGC_API_KEY"] = "wrong-key"
    assert "does not accept the key of NGC_API_KEY" in refusal(home, "ngc:nvidia/ace/nemovision-4b-instruct")
    home.environment["NGC_API_KEY"] = "nvapi-key"
    home.hub.gated = "yes"
    said = refusal(home, "ngc:nvidia/ace/nemovision-4b-instruct")
    assert "https://catalog.ngc.nvidia.com/orgs/nvidia/teams/ace/models/nemovision-4b-instruct" in said


def test_ngc_gives_to_guests_what_it_gives_to_all(home: Home, pair: dict[str, bytes]) -> None:
    home.hub.guests_only = True
    home.hub.files = {"a/one.gguf": b"x", "b/two.gguf": b"x", **pair}
    entry = home.pull("https://catalog.ngc.nvidia.com/orgs/nvidia/teams/ace/models/other", quant="Q4_K_M")
    assert has(entry, pair)
    assert entry.origin.source == "ngc:nvidia/ace/other:1.0.0"


def test_an_archive_as_it_was_downloaded(home: Home, pair: dict[str, bytes], archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    assert home.pull(str(path), quant="Q4_0").name == "nemovision-4b-instruct-q4_0"
    assert path.read_bytes() == archive
    assert not (tmp_path.parent / "evil.txt").exists()
    path.write_bytes(archive[: len(archive) // 2])
    assert "is broken" in refusal(home, str(path))
    damaged = bytearray(archive)
    damaged[len(archive) // 4] ^= 0xFF
    path.write_bytes(bytes(damaged))
    shutil.rmtree(home.models)
    assert "is broken" in refusal(home, str(path))
    assert [name for name in home.files if name.endswith(".gguf")] == []


# -- names of sources


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("owner/model", Source("hf", "owner/model")),
        ("owner/model:Q8_0", Source("hf", "owner/model", quant="Q8_0")),
        ("hf.co/owner/model:q4", Source("hf", "owner/model", quant="q4")),
        ("owner/model:sub/x-Q8_0.gguf", Source("hf", "owner/model", file="sub/x-Q8_0.gguf")),
        ("owner/model/x.gguf", Source("hf", "owner/model", file="x.gguf")),
        ("https://huggingface.co/owner/model", Source("hf", "owner/model")),
        ("https://huggingface.co/owner/model/blob/main/x.gguf?download=true", Source("hf", "owner/model", "main", file="x.gguf")),
        ("ngc:nvidia/ace/m:1.0", Source("ngc", "nvidia/ace/m", "1.0")),
        ("ngc:nvidia/m", Source("ngc", "nvidia/m")),
        ("https://host/m.gguf", Source("web", "https://host/m.gguf")),
        ("tiny", None),
        ("a/b/c", None),
        ("../b", None),
    ],
)
def test_sources_as_people_type_them(typed: str, meant: Source | None) -> None:
    assert read_source(typed) == meant


@pytest.mark.parametrize(
    "url", ["https://u:p@host/x.gguf", "https:///x.gguf", "ftp://host/x.gguf", "https://ho st/x.gguf", "https://host:99999/x.gguf"]
)
def test_addresses_that_are_not_asked(url: str) -> None:
    with pytest.raises(DownloadError):
        read_source(url)


def test_what_the_hubs_cache_has_already_does_not_come_twice(home: Home, pair: dict[str, bytes], tmp_path: Path) -> None:
    snapshot = tmp_path / "cache/hub/models--owner--model/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name, data in pair.items():
        blob = snapshot.parent.parent / "blobs" / hashlib.sha256(data).hexdigest()
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(data)
        (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
    home.environment["HF_HOME"] = str(tmp_path / "cache")
    entry = home.pull()
    assert Path(entry.model_path) == snapshot / MODEL
    assert has(entry, pair)
    assert home.hub.sent_to("cdn") == []
    assert pull.remove_files(home.catalogue.remove(entry.name), (), home.models) == 0
