# SPDX-License-Identifier: Apache-2.0
"""A small blocking QMP client: the second monitor of the tests."""

import json
import socket
import time


class QmpError(Exception):
    """QEMU refused a command; `kind` is the error's class."""

    def __init__(self, command, arguments, error):
        super().__init__(f"{command} {json.dumps(arguments)}: {error['class']}: {error['desc']}")
        self.kind = error['class']


class Qmp:
    """One connection. Events that come meanwhile are kept in `events`, oldest first."""

    def __init__(self, path, timeout=10):
        self.events = []
        self._next_id = 0
        self._buffer = b''
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(str(path))
            self.greeting = self._read(time.monotonic() + timeout)['QMP']
            self.execute('qmp_capabilities', timeout=timeout)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def execute(self, command, arguments=None, *, timeout=30, **more):
        """Runs a command; its answer. `node_name='x'` is short for `{'node-name': 'x'}`."""
        arguments = {
            **(arguments or {}),
            **{key.replace('_', '-'): value for key, value in more.items()},
        }
        self._next_id += 1
        message = {'execute': command, 'arguments': arguments, 'id': self._next_id}
        self._socket.sendall(json.dumps(message).encode() + b'\n')
        deadline = time.monotonic() + timeout
        while True:
            answer = self._read(deadline, f'the answer to {command}')
            if 'event' in answer:
                self.events.append(answer)
            elif answer.get('id') != self._next_id:
                continue  # of a command that timed out before
            elif 'error' in answer:
                raise QmpError(command, arguments, answer['error'])
            else:
                return answer['return']

    def execute_once_it_can(self, command, arguments, *, timeout=60, ahead=16):
        """Runs a command again and again until it is not refused any more; its answer.

        Some are under way at any time, so that QEMU comes to the next as soon as it can.
        """
        deadline = time.monotonic() + timeout
        ours, answered = self._next_id + 1, 0
        while True:
            while self._next_id + 1 - ours - answered < ahead:
                self._next_id += 1
                message = {'execute': command, 'arguments': arguments, 'id': self._next_id}
                self._socket.sendall(json.dumps(message).encode() + b'\n')
            answer = self._read(deadline, f'an answer to {command} that is no refusal')
            if 'event' in answer:
                self.events.append(answer)
            elif answer.get('id', 0) >= ours:
                answered += 1
                if 'return' in answer:
                    return answer['return']

    def wait_event(self, name, match=None, timeout=30):
        """Waits for an event (also one that came before), takes it from `events` and returns it.

        `match` is a function of the event's data, or a mapping that the data must contain.
        """
        if isinstance(match, dict):
            wanted = match.items()
            match = lambda data: wanted <= data.items()
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            for event in self.events[seen:]:
                if event['event'] == name and (match is None or match(event.get('data', {}))):
                    self.events.remove(event)
                    return event
            seen = len(self.events)
            message = self._read(deadline, f'event {name}')
            if 'event' in message:
                self.events.append(message)

    def _read(self, deadline, what='the greeting (is another client connected?)'):
        while b'\n' not in self._buffer:
            left = deadline - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                raise TimeoutError(f'QEMU did not send {what} in time') from None
            if not data:
                raise ConnectionError(f'QEMU closed the monitor before it sent {what}')
            self._buffer += data
        line, self._buffer = self._buffer.split(b'\n', 1)
        return json.loads(line)
