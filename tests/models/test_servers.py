"""The list of servers, and their keys: what is kept where, what is refused, and that no key is said."""

from __future__ import annotations

import stat
import threading
import time
from pathlib import Path

import pytest

from nemochat.domain.servers import RemoteModel, ServedModel, Server, ServerKind
from nemochat.errors import NemochatError, UsageError
from nemochat.models import keys as keys_module
from nemochat.models.keys import Keys
from nemochat.models.servers import Servers, normal_url, variable_of

KEY = "sk-verysecret0123456789"


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    return Servers(tmp_path / "config" / "servers.toml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "servers.toml"
    path.parent.mkdir()
    return path


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (" http://127.0.0.1:8080/ ", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1/chat/completions", "http://127.0.0.1:8080"),
        ("https://example.org/v1/models", "https://example.org"),
        ("HTTPS://Example.ORG:443/api/v1//", "https://example.org/api"),
        ("http://example.org:80", "http://example.org"),
        ("https://example.org/v1beta", "https://example.org/v1beta"),
        ("localhost:11434", "http://localhost:11434"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]:8000/v1", "http://[::1]:8000"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://[::]:8080", "http://127.0.0.1:8080"),
        ("http://[fe80::1]:8080", "http://[fe80::1]:8080"),
    ],
)
def test_an_address_is_kept_without_what_people_copy_along(typed: str, kept: str) -> None:
    assert normal_url(typed) == kept
    assert normal_url(kept) == kept


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "cannot be the address"),
        ("gpu.example.org:8000", "begins with http:// or https://"),
        ("ftp://example.org", "begins with http:// or https://"),
        ("file:///etc/passwd", "begins with http:// or https://"),
        ("http://", "begins with http:// or https://"),
        ("http:///v1", "begins with http:// or https://"),
        ("http://example.org:99999", "its host or its port is wrong"),
        ("http://example.org:port", "its host or its port is wrong"),
        ("http://[::1", "its host or its port is wrong"),
        ("http://exa mple.org", "cannot be the address"),
        ("http://example.org/\nHost: x", "cannot be the address"),
        ("http://example.org\\@evil.org", "cannot be the address"),
        (f"http://example.org/{'x' * 3000}", "cannot be the address"),
        (f"https://user:{KEY}@example.org", "does not belong into the address"),
        (f"https://{KEY}@example.org", "does not belong into the address"),
        (f"user:{KEY}@localhost:8080", "does not belong into the address"),
        (f"https://example.org/v1?api_key={KEY}", "ends before"),
        (f"https://example.org/v1#{KEY}", "ends before"),
    ],
)
def test_what_cannot_be_an_address_is_refused_and_not_repeated(typed: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        normal_url(typed)
    assert KEY not in f"{caught.value.message} {caught.value.hint}"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.8.9.1", True),
        ("http://localhost", True),
        ("http://a.localhost", True),
        ("http://[::1]:8080", True),
        ("http://[::ffff:127.0.0.1]", True),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("http://192.168.1.5:8000", False),
        ("http://10.0.0.1", False),
        ("http://[fe80::1]", False),
        ("http://gpu", False),
        ("https://example.org", False),
        ("http://2130706433", False),
    ],
)
def test_only_an_address_of_this_machine_is_here(url: str, is_here: bool) -> None:
    server = Server("one", url)
    assert server.is_here is is_here
    assert ServedModel(server, RemoteModel("m")).leaves is not is_here
    assert ServedModel(server, RemoteModel("m:cloud", is_elsewhere=True)).leaves


def test_servers_are_added_found_and_removed(servers: Servers, tmp_path: Path) -> None:
    assert servers.all() == ()
    gpu = servers.add("GPU", "https://gpu.example.org/v1/", ServerKind.VLLM)
    here = servers.add("here", "localhost:8080")
    assert servers.all() == (gpu, here) == (Server("gpu", "https://gpu.example.org", ServerKind.VLLM), Server("here", "http://localhost:8080"))
    assert Servers(tmp_path / "config" / "servers.toml").all() == (gpu, here)
    assert servers.get("gpu") == servers.get(" GP ") == gpu
    assert servers.remove("gpu") == gpu
    assert servers.all() == (here,)


def test_a_name_may_be_begun(servers: Servers) -> None:
    servers.add("gpu", "http://127.0.0.1:1")
    servers.add("gpu-two", "http://127.0.0.1:2")
    assert servers.get("gpu").name == "gpu"
    with pytest.raises(UsageError, match="gp may be gpu or gpu-two"):
        servers.get("gp")
    with pytest.raises(UsageError, match=r"There is no server called gup\.") as caught:
        servers.get("gup")
    assert caught.value.hint == "Did you mean gpu or gpu-two?"
    with pytest.raises(UsageError, match="may be gpu or gpu-two"):
        servers.remove("gp")
    with pytest.raises(UsageError) as caught:
        servers.remove("gpu-t")
    assert "by its whole name, gpu-two" in caught.value.message
    assert len(servers.all()) == 2


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "-a", ".a", "ä", "a\x1b[31m", "x" * 41, "a\nb"])
def test_a_name_that_cannot_be_one_is_refused(servers: Servers, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name") as caught:
        servers.add(name, "http://127.0.0.1:1")
    assert "\x1b" not in caught.value.message
    assert servers.all() == ()


def test_a_name_is_not_given_twice(servers: Servers) -> None:
    servers.add("a-b", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"already, at http://127\.0\.0\.1:1"):
        servers.add("a-b", "http://127.0.0.1:2")
    with pytest.raises(UsageError, match="would both be NEMOCHAT_KEY_A_B"):
        servers.add("a.b", "http://127.0.0.1:2")
    assert servers.add("a-b", "http://127.0.0.1:1/v1", ServerKind.OLLAMA).kind is ServerKind.OLLAMA
    assert servers.add("a-b", "http://127.0.0.1:1").kind is ServerKind.OLLAMA


def test_what_people_write_by_hand_is_read(servers: Servers, file: Path) -> None:
    file.write_text('\ufeff# mine\n[gpu]\nurl = "https://gpu.example.org/v1"\nkind = "nim"\n')
    assert servers.all() == (Server("gpu", "https://gpu.example.org", ServerKind.NIM),)
    assert servers.notices == ()


@pytest.mark.parametrize(
    "content",
    [
        "not toml",
        'gpu = "http://127.0.0.1:1"',
        '[gpu]\nurl = 3',
        "[gpu]",
        '[gpu]\nurl = "http://127.0.0.1:1"\nkind = "mine"',
        f'[gpu]\nurl = "http://127.0.0.1:1"\nkey = "{KEY}"',
        f'[gpu]\nurl = "http://user:{KEY}@127.0.0.1:1"',
        '["a b"]\nurl = "http://127.0.0.1:1"',
        '[GPU]\nurl = "http://127.0.0.1:1"',
        '[a-b]\nurl = "http://127.0.0.1:1"\n["a.b"]\nurl = "http://127.0.0.1:2"',
        ".".join("a" * 100) + " = 1",
        "a = " + "[" * 3000,
    ],
)
def test_a_broken_list_is_set_aside_and_said(servers: Servers, file: Path, content: str) -> None:
    file.write_text(content)
    assert servers.all() == ()
    (notice,) = servers.notices
    assert notice.startswith("The list of servers was broken (")
    assert KEY not in notice
    assert file.with_name("servers.toml.broken-1").read_text() == content
    servers.add("gpu", "http://127.0.0.1:1")
    assert len(servers.all()) == 1


# -- keys


class Ring:
    """A keyring of the system's that is played."""

    priority = 5.0

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.asked = 0

    def get_password(self, service: str, name: str) -> str | None:
        self.asked += 1
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, key: str) -> None:
        self.kept[service, name] = key

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


DESKTOP = {"DISPLAY": ":0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
GPU = Server("gpu", "https://gpu.example.org")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Ring:
    import keyring

    ring = Ring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: ring)
    monkeypatch.setattr("sys.platform", "linux")
    return ring


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.toml"


def test_the_environment_goes_before_all(played: Ring, path: Path) -> None:
    kept = Keys(path, DESKTOP)
    assert kept.put(GPU, KEY) == "the keyring"
    assert kept.get(GPU) == KEY
    both = Keys(path, {**DESKTOP, "NEMOCHAT_KEY_GPU": " sk-other "})
    assert (both.get(GPU), both.place(GPU)) == ("sk-other", "NEMOCHAT_KEY_GPU")
    assert variable_of("my-gpu.two") == "NEMOCHAT_KEY_MY_GPU_TWO"


def test_a_key_is_in_the_keyring_and_then_in_no_file(played: Ring, path: Path) -> None:
    Keys(path, DESKTOP).put(GPU, KEY)
    assert list(played.kept.values()) == [KEY]
    assert KEY not in path.read_text()


def test_without_a_desktop_the_keyring_is_not_asked_and_a_private_file_has_the_key(played: Ring, path: Path) -> None:
    headless = Keys(path, {})
    assert headless.put(GPU, KEY) == str(path)
    assert headless.get(GPU) == KEY
    assert not played.kept
    assert not played.asked
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_in_a_keyring_that_cannot_be_asked_is_said_to_be_there(played: Ring, path: Path) -> None:
    Keys(path, DESKTOP).put(GPU, KEY)
    with pytest.raises(NemochatError, match="in the system's keyring, which does not give it") as caught:
        Keys(path, {}).get(GPU)
    assert caught.value.hint == "Set NEMOCHAT_KEY_GPU."


def test_a_server_without_a_key_costs_no_look_into_the_keyring(played: Ring, path: Path) -> None:
    assert Keys(path, DESKTOP).get(GPU) == ""
    assert not played.asked


@pytest.mark.parametrize("priority", [0.5, 0, -1])
def test_a_keyring_that_asks_at_the_terminal_is_none(played: Ring, path: Path, priority: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ring, "priority", priority)
    assert Keys(path, DESKTOP).put(GPU, KEY) == str(path)
    assert not played.kept


def test_a_keyring_that_does_not_come_back_is_none(played: Ring, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()
    monkeypatch.setattr(Ring, "set_password", lambda *_: forever.wait(60))
    monkeypatch.setattr(keys_module, "_KEYRING_SECONDS", 0.05)
    began = time.monotonic()
    assert Keys(path, DESKTOP).put(GPU, KEY) == str(path)
    assert time.monotonic() - began < 30
    forever.set()


@pytest.mark.usefixtures("played")
def test_a_keyring_that_fails_says_no_key(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Ring, service: str, name: str, key: str) -> None:
        raise RuntimeError(f"cannot keep {key}")

    monkeypatch.setattr(Ring, "set_password", fail)
    assert Keys(path, DESKTOP).put(GPU, KEY) == str(path)
    assert KEY not in caplog.text


def test_a_key_is_not_sent_to_another_address(path: Path) -> None:
    kept = Keys(path, {})
    kept.put(GPU, KEY)
    with pytest.raises(NemochatError, match="given for another address, so it is not sent"):
        kept.get(Server("gpu", "https://evil.example.org"))


def test_what_may_leave_is_remembered_for_an_address(path: Path) -> None:
    kept = Keys(path, {})
    assert not kept.is_allowed(GPU)
    kept.allow(GPU)
    kept.put(GPU, KEY)
    assert kept.is_allowed(GPU)
    assert not kept.is_allowed(Server("gpu", "https://evil.example.org"))
    assert kept.get(GPU) == KEY
    kept.forget("gpu")
    assert not kept.is_allowed(GPU)
    assert kept.get(GPU) == ""


def test_a_forgotten_key_is_gone_from_the_keyring(played: Ring, path: Path) -> None:
    kept = Keys(path, DESKTOP)
    kept.put(GPU, KEY)
    kept.forget("gpu")
    kept.forget("nobody")
    assert not played.kept


@pytest.mark.parametrize("key", ["", "  ", "two words", "a\nb", "ä", "\x1b[31m", "x" * 9000])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(path: Path, key: str) -> None:
    with pytest.raises(UsageError, match="cannot be a key") as caught:
        Keys(path, {}).put(GPU, key)
    assert not key.strip() or key not in caught.value.message
    if key.strip():
        with pytest.raises(UsageError, match="NEMOCHAT_KEY_GPU cannot be a key"):
            Keys(path, {"NEMOCHAT_KEY_GPU": key}).get(GPU)


@pytest.mark.parametrize("content", [f"gpu = '{KEY}'", f"[gpu]\nkey = '{KEY}'", f"{KEY}", "[gpu]\nurl = 3", "\udcff"])
def test_a_broken_file_of_keys_is_set_aside_and_none_is_said(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content.encode(errors="surrogateescape"))
    kept = Keys(path, {})
    with pytest.raises(NemochatError, match=r"was broken; it is kept as .*keys\.toml\.broken-1") as caught:
        kept.get(GPU)
    assert KEY not in f"{caught.value.message} {caught.value.hint}"
    assert kept.get(GPU) == ""
