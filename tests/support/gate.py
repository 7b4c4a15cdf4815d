# SPDX-License-Identifier: Apache-2.0
"""A service's other address, on whose way requests can be held up."""

import contextlib
import socket
import threading
import urllib.parse

PIECE = 65536


class Gate:
    """For `with`: url leads to the service at `url`, as long as it is open.

    A request that is held up is not lost: it goes on when the gate opens. Answers always pass.
    """

    def __init__(self, url):
        self.parts = urllib.parse.urlsplit(url)
        self._opened, self._allowed = threading.Event(), 0
        self._opened.set()

    def __enter__(self):
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.url = f'http://127.0.0.1:{self._listener.getsockname()[1]}{self.parts.path}'
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._opened.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @contextlib.contextmanager
    def held(self, after=0):
        """Meanwhile no request passes but for its first `after` bytes: with 1 MiB, all but uploads do."""
        self._allowed = after
        self._opened.clear()
        try:
            yield
        finally:
            self._opened.set()

    def _accept(self):
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(here,), daemon=True).start()

    def _serve(self, here):
        with here, contextlib.suppress(OSError), \
                socket.create_connection((self.parts.hostname, self.parts.port)) as there:
            back = threading.Thread(target=self._answer, args=(there, here), daemon=True)
            back.start()
            passed = 0
            while piece := here.recv(PIECE):
                passed = 0 if self._opened.is_set() else passed + len(piece)
                if passed > self._allowed:
                    self._opened.wait()
                there.sendall(piece)
            there.shutdown(socket.SHUT_WR)
            back.join()

    @staticmethod
    def _answer(there, here):
        """Who sends it hangs up, and then so do we."""
        with contextlib.suppress(OSError):
            while piece := there.recv(PIECE):
                here.sendall(piece)
        with contextlib.suppress(OSError):
            here.shutdown(socket.SHUT_RDWR)
