# SPDX-License-Identifier: Apache-2.0
"""A monitor that cannot be trusted: it stands before a real one, and says what it likes."""

import contextlib
import json
import multiprocessing
import os
import socket
import struct
import threading

from support.machine import die_with_parent

_fork = multiprocessing.get_context('fork')


class Liar:
    """For `with`: `path` leads to the monitor at `target`, through a process of its own.

    greeting   sent in place of the real one, and nothing after it; None: all passes
    then       sent again and again behind the greeting
    lies       {command: function(answer)}; gives what is sent in place of the answer: bytes, or an
               object; raises OSError to hang up
    told       an Event; there are lies only while it is set
    flood      bytes that are sent again and again while `flooding` is set
    deaf       while it is set nothing is read of what the daemon says
    links      how many came
    """

    def __init__(self, path, target=None, *, greeting=None, then=None, lies=None, flood=None, reset=False):
        self.path, self.target = str(path), target and str(target)
        self.greeting, self.then, self.lies, self.flood, self.reset = greeting, then, lies or {}, flood, reset
        self.told, self.flooding, self.deaf = _fork.Event(), _fork.Event(), _fork.Event()
        self._links = _fork.Value('i', 0)

    @property
    def links(self):
        return self._links.value

    def __enter__(self):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._process = _fork.Process(target=self._run, daemon=True)
        self._process.start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()
        self._listener.close()
        os.unlink(self.path)

    # In its own process

    def _run(self):
        die_with_parent()
        while True:
            here, _ = self._listener.accept()
            self._links.value += 1
            threading.Thread(target=self._serve, args=(here,), daemon=True).start()

    def _serve(self, here):
        with here, contextlib.suppress(OSError):
            if self.reset:
                here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            elif self.greeting is not None:
                here.sendall(self.greeting)
                while self.then:
                    here.sendall(self.then)
                while here.recv(65536):
                    pass
            else:
                self._pass(here)

    def _pass(self, here):
        lock, asked = threading.Lock(), {}
        with socket.socket(socket.AF_UNIX) as there:
            there.connect(self.target)
            for work in (self._answer, there, here, lock, asked), (self._flood, here, lock):
                threading.Thread(target=self._try, args=work, daemon=True).start()
            try:
                for line in here.makefile('rb'):
                    message = json.loads(line)
                    asked[message.get('id')] = message.get('execute')
                    there.sendall(line)
                    while self.deaf.is_set():
                        threading.Event().wait(0.1)
            finally:
                for end in here, there:
                    end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _try(work, *arguments):
        with contextlib.suppress(OSError, ValueError):
            work(*arguments)

    def _answer(self, there, here, lock, asked):
        try:
            for line in there.makefile('rb'):
                message = json.loads(line)
                lie = self.lies.get(asked.get(message.get('id')))
                if lie and 'id' in message and self.told.is_set():
                    said = lie(message)
                    line = said if isinstance(said, bytes) else json.dumps(said).encode() + b'\n'
                with lock:
                    here.sendall(line)
        finally:
            here.shutdown(socket.SHUT_RDWR)

    def _flood(self, here, lock):
        while True:
            self.flooding.wait()
            with lock:
                here.sendall(self.flood)
