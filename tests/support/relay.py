# SPDX-License-Identifier: Apache-2.0
"""Another way to a monitor, which can be cut at a command."""

import contextlib
import json
import socket
import threading


class Relay:
    """For `with`: path leads to the monitor at `target`.

    cut   a command: with it the link is lost, once, after it was passed on and before its answer;
          nobody comes through for `pause` seconds then
    """

    def __init__(self, path, target, cut=None, pause=1):
        self.path, self.target, self.cut, self.pause = str(path), str(target), cut, pause
        self.was_cut, self._end = threading.Event(), threading.Event()

    def __enter__(self):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while not self._end.is_set():
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            with here, socket.socket(socket.AF_UNIX) as there, contextlib.suppress(OSError):
                there.connect(self.target)
                back = threading.Thread(target=self._answer, args=(there, here), daemon=True)
                back.start()
                self._pass(here, there)
                for end in here, there:
                    end.shutdown(socket.SHUT_RDWR)
                back.join()
                if self.was_cut.is_set():
                    self._end.wait(self.pause)

    def _pass(self, here, there):
        for line in here.makefile('rb'):
            there.sendall(line)
            if self.cut and json.loads(line).get('execute') == self.cut:
                self.cut = None
                self.was_cut.set()
                return

    @staticmethod
    def _answer(there, here):
        with contextlib.suppress(OSError):
            while data := there.recv(65536):
                here.sendall(data)
            here.shutdown(socket.SHUT_RDWR)
