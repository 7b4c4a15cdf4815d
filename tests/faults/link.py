# SPDX-License-Identifier: Apache-2.0
"""The way from the daemon to a monitor, on which commands are counted and one of them goes wrong."""

import asyncio
import collections
import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import time

from support.machine import die_with_parent

LONGEST = 1 << 27       # of a line
REFUSAL = {'class': 'GenericError', 'desc': 'this was made to fail'}

# What can become of a command. By the first five nobody dies.
FAULTS = (
    'error',            # it is refused, and never comes to the peer
    'lost-command',     # the link breaks before it comes to the peer
    'lost-answer',      # the link breaks after the peer has answered
    'silence',          # it never comes to the peer, and is never answered
    'delay',            # it comes to the peer later, and so do all after it
    'daemon-before',    # kill -9 of the daemon, before it comes to the peer
    'daemon-after',     # ... after the peer has answered, before the daemon is told
    'guest-before',     # kill -9 of the peer, before it comes to it
    'guest-after',      # ... after it has answered, before the daemon is told
    'both-before',
    'both-after',
)


class FaultyLink:
    """`path` leads to the monitor at `target`, as a process of its own; start() ... stop().

    Can stand in for a Trap in a ChainScene (`scene.trap`). `record` is a file with all that came by.
    """

    def __init__(self, path, target, record):
        self.path, self.target, self.record = str(path), str(target), pathlib.Path(record)
        self._process, self._heard = None, []

    def start(self):
        """Begins, or begins anew: a peer that is started again wants a new way."""
        self.stop()
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'faults.link', self.path, self.target, str(self.record)],
            preexec_fn=die_with_parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self._line(30) == b'ready\n'
        self.pid = self._process.pid

    def stop(self):
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def arm(self, fault, nth=1, *, name=None, times=1, kill=(), pause=0.1):
        """What is to go wrong, from the command on that comes as the nth from now.

        name    only commands of this name count
        times   how many, one after the other; 0: all that come, until disarm()
        kill    process ids: [daemon, guest]
        pause   seconds: how late a late command is; how long nobody comes through after a break
        """
        assert fault is None or fault in FAULTS, fault
        self._say({'fault': fault, 'left': nth, 'name': name, 'times': times, 'kill': list(kill),
                   'pause': pause})

    def disarm(self):
        """From now on everything passes."""
        with contextlib.suppress(BrokenPipeError, AssertionError, TimeoutError):
            self.arm(None)

    def struck(self):
        """Whether it went wrong already."""
        with contextlib.suppress(TimeoutError):
            while line := self._line(0):
                self._heard.append(line)
        return b'struck\n' in self._heard

    def commands(self):
        """All that came by: {'at': seconds, 'link': which connection, 'name', 'arguments', 'fault'}."""
        if not self.record.exists():
            return []
        with open(self.record, encoding='utf-8') as file:
            return [json.loads(line) for line in file if line.endswith('\n')]

    def _say(self, message):
        self._process.stdin.write(json.dumps(message).encode() + b'\n')
        self._heard.clear()
        while (line := self._line(10)) == b'struck\n':      # of the last time
            pass
        assert line, 'it is gone'

    def _line(self, timeout):
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise TimeoutError('the link says nothing')
        return self._process.stdout.readline()


def _wait_end(pid):
    """Waits until a process that dies has let go of its files."""
    deadline = time.monotonic() + 10
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
            if state in 'ZX':
                return
            time.sleep(0.001)


class _Way:
    """What all connections share: the fault, and the record."""

    def __init__(self, target, record):
        self.target, self.connections = target, 0
        self.record = open(record, 'a', buffering=1, encoding='utf-8')
        self.order = {'fault': None}
        self.closed_until = 0

    async def listen(self):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.order = json.loads(line)
            print('armed', flush=True)

    def fault_of(self, name):
        """What is to happen to a command that comes by now."""
        order = self.order
        if not order['fault'] or order['name'] not in (None, name):
            return None
        order['left'] -= 1
        if order['left'] > 0:
            return None
        if order['left'] == 0:
            print('struck', flush=True)
        if order['times'] and 1 - order['left'] >= order['times']:
            self.order = {**order, 'fault': None}
        return order['fault']

    def kill(self, who):
        daemon, guest = self.order['kill']
        for pid in {'daemon': [daemon], 'guest': [guest], 'both': [guest, daemon]}[who]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if who != 'daemon':
            _wait_end(guest)
            os._exit(0)

    async def serve(self, reader, writer):
        self.connections += 1
        await asyncio.sleep(self.closed_until - time.monotonic())
        try:
            peer = await asyncio.open_unix_connection(self.target, limit=LONGEST)
        except OSError:
            os._exit(0)     # the peer is gone
        await _Connection(self, self.connections, (reader, writer), peer).run()


class _Broken(Exception):
    pass


class _Connection:
    def __init__(self, way, number, daemon, peer):
        self.way, self.number, self.daemon, self.peer = way, number, daemon, peer
        self.waiting = collections.deque()      # [id, fault], in the order in which they are answered
        self.gone = False

    async def run(self):
        ways = [asyncio.create_task(self._commands()), asyncio.create_task(self._answers())]
        _, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._drain(), 2)
        if self.gone:       # we are its pid
            _wait_end(struct.unpack('3i', self.peer[1].get_extra_info('socket').getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
            os._exit(0)
        for _, writer in self.daemon, self.peer:
            writer.close()

    async def _drain(self):
        """What is under way is answered to whoever comes next, if nobody waits for it."""
        while not self.gone and any(fault != 'error' for _, fault in self.waiting):
            line = await self._hear()
            self.gone = not line
            if b'"return"' in line or b'"error"' in line:
                self.waiting.popleft()

    def _break(self):
        self.way.closed_until = time.monotonic() + self.way.order['pause']
        raise _Broken

    async def _commands(self):
        with contextlib.suppress(ConnectionError):
            while line := await self.daemon[0].readline():
                await self._command(line)

    async def _command(self, line):
        command = json.loads(line.strip(b'\xff \r\n'))
        name = command.get('execute') or command.get('exec-oob')
        fault = self.way.fault_of(name)
        self.way.record.write(json.dumps({
            'at': time.time(), 'link': self.number, 'name': name,
            'arguments': command.get('arguments', {}), 'fault': fault}) + '\n')
        if fault == 'lost-command':
            self._break()
        if fault and fault.endswith('-before'):
            self.way.kill(fault.removesuffix('-before'))
            self._break()
        if fault == 'delay':
            await asyncio.sleep(self.way.order['pause'])
        if fault == 'silence':
            return
        self.waiting.append([command.get('id'), fault])
        if fault == 'error':
            self._refuse()
        else:
            self.peer[1].write(line)
            await self.peer[1].drain()

    def _refuse(self):
        """Answers the commands that the peer never hears of, once those before have been answered."""
        while self.waiting and self.waiting[0][1] == 'error':
            number, _ = self.waiting.popleft()
            answer = {'error': REFUSAL} if number is None else {'id': number, 'error': REFUSAL}
            self.daemon[1].write(json.dumps(answer).encode() + b'\r\n')

    async def _answers(self):
        while line := await self._hear():
            if b'"return"' in line or b'"error"' in line:
                self._answered(json.loads(line))
            with contextlib.suppress(ConnectionError):
                self.daemon[1].write(line)
                await self.daemon[1].drain()
            self._refuse()
        self.gone = True

    async def _hear(self):
        try:
            return await self.peer[0].readline()
        except ConnectionError:
            return b''

    def _answered(self, message):
        """Notes an answer; breaks the link where the daemon must not have it."""
        if 'return' not in message and 'error' not in message or not self.waiting:
            return
        _, fault = self.waiting.popleft()
        if fault == 'lost-answer':
            self._break()
        if fault and fault.endswith('-after'):
            self.way.kill(fault.removesuffix('-after'))
            self._break()


async def _main(path, target, record):
    way = _Way(target, record)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = await asyncio.start_unix_server(way.serve, path, limit=LONGEST)
    asyncio.create_task(server.serve_forever())
    print('ready', flush=True)
    await way.listen()


if __name__ == '__main__':
    asyncio.run(_main(*sys.argv[1:]))
