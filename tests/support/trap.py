# SPDX-License-Identifier: Apache-2.0
"""Another way to a monitor, on which somebody dies when a line of choice comes by."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading

from .machine import die_with_parent

PIECE = 65536


class Trap:
    """`path` leads to the monitor at `target`, as a process of its own; start() ... stop()."""

    def __init__(self, path, target):
        self.path, self.target, self._process = str(path), str(target), None

    def start(self):
        """Begins, or begins anew: a peer that is started again wants a new way."""
        self.stop()
        self._process = subprocess.Popen([sys.executable, '-m', 'support.trap', self.path, self.target],
                                         preexec_fn=die_with_parent, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)
        assert self._read(30) == b'ready\n'
        self.pid = self._process.pid

    def stop(self):
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def arm(self, words, kill, skip=0):
        """Who is to be killed when.

        words   that are in the line, one way or the other: 'blockdev-reopen', or 'JOB_STATUS_CHANGE',
                'concluded'; it is not passed on then
        kill    process ids
        skip    so many such lines pass before
        """
        self._process.stdin.write(json.dumps([words, kill, skip]).encode() + b'\n')
        self._process.stdin.flush()
        assert self._read(10) == b'armed\n'

    def snapped(self, timeout=60):
        """Waits until the line has come by; False when the peer is gone, and it has not."""
        return self._read(timeout) == b'snapped\n'

    def _read(self, timeout):
        assert select.select([self._process.stdout], [], [], timeout)[0], 'the line never came by'
        return self._process.stdout.readline()


class _Way:
    def __init__(self):
        self.words, self.kill, self.left = [], [], 0
        self.lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in sys.stdin.buffer:
            words, kill, left = json.loads(line)
            with self.lock:
                self.words, self.kill, self.left = [word.encode() for word in words], kill, left
            print('armed', flush=True)

    def _passes(self, line):
        with self.lock:
            if not self.words or not all(word in line for word in self.words):
                return True
            self.left -= 1
            if self.left >= 0:
                return True
            for pid in self.kill:
                os.kill(pid, signal.SIGKILL)
            self.words = []
            print('snapped', flush=True)
            return False

    def _forward(self, source, sink):
        with contextlib.suppress(OSError):
            for line in source.makefile('rb', PIECE):
                if self._passes(line):
                    sink.sendall(line)

    def _back(self, there, here, left):
        self._forward(there, here)
        with self.lock:             # first it is told who has snapped
            if not left.is_set():   # the peer is gone, and we are its pid
                os._exit(0)

    def serve(self, here, target):
        there, left = socket.socket(socket.AF_UNIX), threading.Event()
        try:
            there.connect(target)
        except OSError:
            os._exit(0)
        back = threading.Thread(target=self._back, args=(there, here, left), daemon=True)
        back.start()
        self._forward(here, there)
        left.set()
        for end in here, there:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join()


def main(path, target):
    way = _Way()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print('ready', flush=True)
    while True:
        here, _ = listener.accept()
        way.serve(here, target)


if __name__ == '__main__':
    main(*sys.argv[1:])
