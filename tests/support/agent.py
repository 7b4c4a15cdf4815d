# SPDX-License-Identifier: Apache-2.0
"""A guest agent without a guest, for what a real one does too seldom."""

import contextlib
import json
import socket
import threading
import time


class Agent:
    """Speaks as a guest agent does, and records what was done to it.

    temper   'fine'; 'silent': never answers; 'refusing': will not freeze; 'thawing': thaws by itself
             at once, as some guests do; 'dying': freezes, closes, and comes back some time later;
             'slow': takes a second to freeze; 'stuck': freezes, and says so once the temper
             is another one; 'half': freezes some, then refuses; 'windows': thaws by itself and does
             not tell at the thaw; 'types', 'garbage': freezes, and answers what makes no sense;
             'late': freezes after a second and a half, and tells whoever connects next
    """

    def __init__(self, path, temper='fine'):
        self.path, self.temper = str(path), temper
        self.frozen, self.log = False, []       # (time, command)
        self._left = b''
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()
        self._end = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._end.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def times(self, command):
        return [at for at, name in self.log if name == command]

    def _serve(self):
        while not self._end.is_set():
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link:
                try:
                    self._talk(link)
                except OSError:
                    pass

    def _talk(self, link):
        left, self._left = self._left, b''
        link.sendall(left)
        for line in link.makefile('rb'):
            request = json.loads(line.strip(b'\xff\n'))
            name = request['execute'].removeprefix('guest-')
            self.log.append((time.time(), name))
            if self.temper == 'silent':
                continue
            answer = self._answer(name, request.get('arguments', {}))
            if answer is None:
                return
            if isinstance(answer, bytes):
                link.sendall(answer)
                continue
            mark = b'\xff' * (name == 'sync-delimited')
            link.sendall(mark + json.dumps(answer).encode() + b'\n')

    def _answer(self, name, arguments):
        if name in ('sync', 'sync-delimited'):
            return {'return': arguments['id']}
        if name == 'fsfreeze-status':
            return {'return': 'frozen' if self.frozen else 'thawed'}
        if name == 'fsfreeze-freeze':
            if self.temper == 'refusing':
                return {'error': {'class': 'GenericError', 'desc': 'a filesystem is not fit for that'}}
            if self.temper == 'slow':
                time.sleep(1)
            if self.temper == 'late':
                self._end.wait(1.5)
            self.frozen = True
            if self.temper == 'late':
                self._left = b'{"return": 2}\n'
                return None
            while self.temper == 'stuck' and not self._end.wait(0.01):
                pass
            if self.temper == 'half':
                return {'error': {'class': 'GenericError', 'desc': 'failed to freeze /b: Input/output error'}}
            if self.temper == 'types':
                return {'return': 'two'}
            if self.temper == 'garbage':
                return b'\0\xfe{"return"\n'
            if self.temper == 'dying':
                self.temper = 'fine'
                self._end.wait(0.5)
                return None
            if self.temper in ('thawing', 'windows'):
                self.frozen = False
            return {'return': 2}
        if name == 'fsfreeze-thaw':
            was, self.frozen = self.frozen, False
            return {'return': 2 if was or self.temper == 'windows' else 0}
        return {'error': {'class': 'CommandNotFound', 'desc': name}}


@contextlib.contextmanager
def agents(path):
    """Makes agents at `path`, one after the other, and ends them all."""
    with contextlib.ExitStack() as ends:
        def make(temper):
            made = Agent(path, temper)
            ends.callback(made.close)
            return made
        yield make
