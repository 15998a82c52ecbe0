"""Hugging Face and NGC on the loopback: their routes, and files at presigned addresses on another host, with the faults that tests want.

``python -m tests.models.hub FOLDER`` serves a folder as the repository owner/model until it is ended, and prints its address.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "1234567890" * 4
TOKEN = "hf_" + "a" * 37


class Hub:
    """Serves `files` by their paths. What is changed here changes the answers from then on. requests: host, path and headers of each."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.repository = "owner/model"
        self._digests: dict[tuple[str, int], tuple[bytes, str]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.gated = ""
        """What Hugging Face says of it: "manual", "auto". A token is needed then, and `accepted`."""
        self.accepted = False
        self.knows_ranges = self.has_etags = True
        self.is_weak = False
        self.tells_length = True
        self.cuts: list[int] = []
        """Bytes after which each of the next connections ends."""
        self.statuses: list[tuple[int, dict[str, str]]] = []
        """What the next requests for a file are answered with instead."""
        self.promised: dict[str, str] = {}
        """Checksums that are promised in place of the right ones."""
        self.page = b""
        """What is sent in place of every file, as HTML."""
        self.content_type = "application/octet-stream"
        self.extra: dict[str, str] = {}
        """Headers of files."""
        self.redirects_to = ""
        self.licence: dict[str, object] = {"license": "apache-2.0"}
        self.rate = 0
        """Bytes a second, 0 for as many as go."""
        self.on_bytes: Any = None
        self.guests_only = False
        self.lists_siblings = True
        self.api, self.cdn = self._serve("api"), self._serve("cdn")
        self.endpoint = f"http://127.0.0.1:{self.api.server_address[1]}"
        self.cdn_url = f"http://localhost:{self.cdn.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads nemochat here and to no file of the user's."""
        nowhere = "/nonexistent"
        urls = {"HF_ENDPOINT": self.endpoint, "NGC_CLI_API_URL": self.endpoint, "NGC_CLI_AUTH_URL": self.endpoint}
        return {**urls, "HF_HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NGC_CLI_HOME": nowhere}

    def close(self) -> None:
        for server in (self.api, self.cdn):
            server.shutdown()
            server.server_close()

    def sent_to(self, host: str) -> list[tuple[str, dict[str, str]]]:
        return [(path, headers) for each, path, headers in self.requests if each == host]

    def _serve(self, name: str) -> ThreadingHTTPServer:
        hub = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Those who ask are killed in the middle of it."""

        class Handler(_Handler):
            def do_GET(self) -> None:
                hub.requests.append((name, self.path, {key.lower(): value for key, value in self.headers.items()}))
                with suppress(BrokenPipeError, ConnectionResetError):
                    (hub._answer_api if name == "api" else hub._answer_file)(self)

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    # -- what belongs to the hosts with names

    def _answer_api(self, handler: _Handler) -> None:
        parts = urlsplit(handler.path)
        words = unquote(parts.path).strip("/").split("/")
        match words:
            case ["api", "models", owner, name] | ["api", "models", owner, name, "revision", _]:
                self._hub_info(handler, f"{owner}/{name}")
            case ["api", "models", _, _, "tree", _]:
                handler.json([{"type": "file", "path": path, **self._of(path, "oid"), "oid": "0" * 40} for path in self.files])
            case [_, _, "resolve", _, *rest]:
                self._hub_resolve(handler, "/".join(rest))
            case ["token"]:
                basic = base64.b64decode(handler.headers.get("Authorization", "").removeprefix("Basic ") or b"").decode()
                is_right = basic == "$oauthtoken:old-key"
                handler.json({"token": "ngc-token"} if is_right else {}, 200 if is_right else 401)
            case ["v2", "org", *_, "models", _] | ["v2", "models", "nvidia", "ace", _]:
                terms = [{"title": "NVIDIA Licence", "needsAcceptance": True}]
                self._ngc(handler, {"model": {"latestVersionIdStr": "1.0.0", "licenseTerms": terms}})
            case ["v2", *_, "versions", _, "files"]:
                hashes = {path: base64.b64encode(bytes.fromhex(self.sha(path))).decode() for path in self.files}
                sizes = {path: len(data) for path, data in self.files.items()}
                listed = [{"path": path, "sizeInBytes": sizes[path], "sha256_base64": hashes[path]} for path in self.files]
                page, size = int(parse_qs(parts.query).get("page-number", ["0"])[0]), 2
                pages = {"index": page, "totalPages": -(-len(listed) // size)}
                self._ngc(handler, {"modelFiles": listed[page * size : (page + 1) * size], "paginationInfo": pages})
            case ["v2", *_, "files"]:
                path = parse_qs(parts.query)["path"][0]
                self._ngc(handler, {"urls": [self._presigned(path)]})
            case _:
                handler.json({"error": "Not found"}, 404)

    def _hub_info(self, handler: _Handler, name: str) -> None:
        if name != self.repository:
            handler.json({"error": "Invalid username or password."}, 401, {"X-Error-Code": "RepoNotFound"})
            return
        readme = {"rfilename": "README.md", "size": 10, "blobId": "0" * 40}
        siblings = [readme, *({"rfilename": path, **self._of(path, "sha256")} for path in self.files)]
        about = {"id": name, "sha": COMMIT, "gated": self.gated or False, "cardData": self.licence, "tags": ["gguf"]}
        handler.json({**about, "siblings": siblings} if self.lists_siblings else about)

    def _of(self, path: str, key: str) -> dict[str, object]:
        size = len(self.files[path])
        return {"size": size, "lfs": {key: self.sha(path), "size": size, "pointerSize": 134}}

    def _hub_resolve(self, handler: _Handler, path: str) -> None:
        token = handler.headers.get("Authorization", "")
        if self.gated and token != f"Bearer {TOKEN}":
            handler.json({"error": "Access to model is restricted."}, 401, {"X-Error-Code": "GatedRepo"})
        elif self.gated and not self.accepted:
            handler.json({"error": "Not in the authorized list."}, 403, {"X-Error-Code": "GatedRepo"})
        elif path not in self.files:
            handler.json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            target = self.redirects_to or self._presigned(path)
            linked = {"X-Linked-Etag": f'"{self.sha(path)}"', "X-Linked-Size": str(len(self.files[path])), "X-Repo-Commit": COMMIT}
            handler.answer(302, b"Found", {"Location": target, **linked})

    def _ngc(self, handler: _Handler, said: object) -> None:
        key = handler.headers.get("Authorization", "")
        is_guest = handler.path.startswith("/v2/models/")
        if is_guest != self.guests_only or (not is_guest and key not in ("Bearer nvapi-key", "Bearer ngc-token")):
            handler.json({"requestStatus": {"statusCode": "UNAUTHORIZED"}}, 403 if key else 401)
        elif self.gated and not self.accepted:
            handler.json({"requestStatus": {"statusDescription": "Terms have to be accepted"}}, 403)
        else:
            handler.json(said)

    def sha(self, path: str) -> str:
        return self.promised.get(path) or self._digest("sha256", self.files[path])

    def _digest(self, kind: str, data: bytes) -> str:
        """Each content is hashed once: a large one takes seconds."""
        known = self._digests.get((kind, id(data)))
        if known is None or known[0] is not data:
            known = self._digests[kind, id(data)] = data, hashlib.new(kind, data).hexdigest()
        return known[1]

    def _presigned(self, path: str) -> str:
        return f"{self.cdn_url}/{path}?X-Signature=secret"

    # -- what belongs to the host of the files

    def _answer_file(self, handler: _Handler) -> None:
        data = self.files.get(unquote(urlsplit(handler.path).path).lstrip("/"))
        if self.statuses:
            status, headers = self.statuses.pop(0)
            handler.answer(status, b"", headers)
            return
        if self.page or data is None:
            handler.answer(200 if self.page else 404, self.page, {"Content-Type": "text/html; charset=utf-8"})
            return
        etag = f'{"W/" if self.is_weak else ""}"{self._digest("md5", data)}"'
        start, wanted = 0, handler.headers.get("Range", "")
        if self.knows_ranges and wanted.startswith("bytes=") and handler.headers.get("If-Range", etag) == etag:
            start = int(wanted[6:].split("-")[0])
        if start and start >= len(data):
            handler.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        headers = {"Content-Type": self.content_type, **({"ETag": etag} if self.has_etags else {}), **self.extra}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.tells_length:
            headers["Content-Length"] = str(len(data) - start)
        else:
            handler.close_connection = True
        handler.send_response(206 if start else 200)
        for each in headers.items():
            handler.send_header(*each)
        handler.end_headers()
        end = min(len(data), start + self.cuts.pop(0)) if self.cuts else len(data)
        step = max(1, self.rate // 20) if self.rate else 1 << 20
        for at in range(start, end, step):
            handler.wfile.write(memoryview(data)[at : min(at + step, end)])
            if self.rate:
                time.sleep(step / self.rate)
            if self.on_bytes is not None:
                self.on_bytes(min(at + step, end))
        if end < len(data):
            handler.close_connection = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def json(self, said: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answer(status, json.dumps(said).encode(), {"Content-Type": "application/json; charset=utf-8", **(headers or {})})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for each in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(*each)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    served = Hub({path.name: path.read_bytes() for path in Path(sys.argv[1]).iterdir() if path.is_file()})
    served.rate = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    sys.stdout.write(json.dumps({"endpoint": served.endpoint, "cdn": served.cdn_url}) + "\n")
    sys.stdout.flush()
    threading.Event().wait()
