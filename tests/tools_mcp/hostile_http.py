"""A server over HTTP that answers a call without measure: `large` JSON, `packed` JSON that unpacks to a lot, or one endless event."""

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE, PORT = sys.argv[1], int(sys.argv[2])


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in asked:
            self.send_response(202)
            self.end_headers()
        elif asked["method"] == "initialize":
            version = asked["params"]["protocolVersion"]
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "h", "version": "1"}}
            self.send(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode(), "application/json")
        elif MODE == "packed":
            self.send(gzip.compress(b'"' + b"x" * (1 << 26) + b'"'), "application/json", packed=True)
        elif MODE == "large":
            self.send(b'"' + b"x" * (1 << 26) + b'"', "application/json")
        else:
            self.send(b"data: " + b"x" * (1 << 26), "text/event-stream")

    def do_GET(self) -> None:
        self.send_response(405)
        self.end_headers()

    def send(self, body: bytes, kind: str, *, packed: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: what it does is known."""


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
