# SPDX-License-Identifier: GPL-2.0
"""The other end of the NIC test: a TCP server on the loopback.

`GET n` returns n random bytes; `PUT n` takes n bytes and returns their checksum. The
server records what it sent and received, so that neither side has to trust the other.
`FILE name` returns one of the files that the server was given.
"""

import hashlib
import random
import shutil
import socketserver
import threading

TIMEOUT = 120
CHUNK = 1 << 16
LIMIT = 1 << 30


class _Handler(socketserver.StreamRequestHandler):
    timeout = TIMEOUT

    def handle(self):
        words = self.rfile.readline(64).decode("ascii", "replace").split()
        if len(words) == 2 and words[0] == "FILE" and words[1] in self.server.files:
            with open(self.server.files[words[1]], "rb") as file:
                shutil.copyfileobj(file, self.wfile)
            return
        if len(words) != 2 or words[0] not in ("GET", "PUT") or not words[1].isdigit():
            return
        size = min(int(words[1]), LIMIT)
        if words[0] == "GET":
            data = random.Random(size).randbytes(size)
            self.server.sent.append(hashlib.sha256(data).hexdigest())
            self.wfile.write(data)
        else:
            self._take(size)

    def _take(self, size):
        digest = hashlib.sha256()
        while size:
            data = self.rfile.read(min(size, CHUNK))
            if not data:
                break
            digest.update(data)
            size -= len(data)
        self.server.received.append(digest.hexdigest())
        self.wfile.write((digest.hexdigest() + "\n").encode())


class FileServer(socketserver.ThreadingTCPServer):
    """A context manager; `port`, `sent` and `received` are what callers use."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, files=None):
        """`files` maps names to paths that a guest may fetch."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.sent, self.received = [], []
        self.files = files or {}
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.shutdown()
        self.server_close()
