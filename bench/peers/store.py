"""The least of an image store: GET and PUT of files under one directory. ``python store.py DIRECTORY``."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    directory: Path

    def do_GET(self) -> None:
        self._answer((self.directory / Path(self.path).name).read_bytes())

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        (self.directory / Path(self.path).name).write_bytes(data)
        self._answer(b"")

    def _answer(self, data: bytes) -> None:
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for each request would only slow it down."""


if __name__ == "__main__":
    Handler.directory = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
