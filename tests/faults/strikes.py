# SPDX-License-Identifier: Apache-2.0
"""Operations in which a command goes wrong, one after the other on one guest, and how each ends."""

import contextlib
import http.client
import os
import threading
import time

from support import StorageDaemon
from support.agent import Agent
from support.chains import FIRST, ChainScene, files_below, one_disk
from support.full import children
from support.machine import wait_until
from support.oracles import graph

from link import FaultyLink
from operations import WORKS, Revert

SETTLED = 10        # seconds, from the monitor's being back to the operation's end
DEADLINE = 30       # seconds, of a command that is not answered
SILENT = 'silence'
OPEN = ('queued', 'running')


def dies(who, fault):
    return (fault or '').split('-')[0] in (who, 'both')


class DaemonScene(ChainScene):
    """A ChainScene whose disks are a storage daemon's: there is no guest that could stand still."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, peer=StorageDaemon, **options)

    def status(self):
        return 'running' if self.vm.alive else 'gone'

    def ask_for(self, *words, **members):
        """Its disks are called after their nodes."""
        node = lambda word: word.replace('disk', 'node') if word[4:].isdigit() else word
        members = {key: [*map(node, value)] if key == 'disks' else value
                   for key, value in members.items()}
        return super().ask_for(*map(node, words), **members)

    def write(self, at=FIRST, size=1, index=0):
        import nbd
        pattern = next(self._patterns)
        client = nbd.NBD()
        client.connect_uri(f'nbd+unix:///disk{index}?socket={self.vm.folder}/nbd.sock')
        client.pwrite(bytes([pattern]) * (size << 20), at << 20, nbd.CMD_FLAG_FUA)
        client.shutdown()
        self.models[index].update(dict.fromkeys(range(at, at + size), pattern))


class Strikes:
    """Operations of one kind on one guest, in each of which something goes wrong; run() for each.

    agent    the guest's, which must not be left frozen
    paused   the guest's owner has paused it, and it must stay so

    meanwhile   what happens when a guest has died, before it is started again
    strict      files that nobody needs must have gone
    """

    def __init__(self, s, link, kind, agent=None, paused=False):
        self.s, self.link, self.kind, self.agent, self.paused = s, link, kind, agent, paused
        self.tried = self.kills = 0
        self.slowest = 0.0
        self.commands, self.meanwhile, self.strict = [], lambda s: None, True

    def dry(self):
        """One in which nothing goes wrong; the names of its commands, in order."""
        self.run(None)
        return [command['name'] for command in self.commands]

    def run(self, fault, nth=1, hand=None, **how):
        """One of them, in which a fault is met by the nth command; whether it came that far.

        hand    is called with the scene when it comes to that: somebody else has his hand in it; what
                it returns is called when the operation has ended
        """
        s, link = self.s, self.link
        self.work = WORKS[self.kind](s)
        self.work.prepare()
        if self.paused:
            s.vm.qmp.execute('stop')
        known, begun = {each['id'] for each in s.operations()}, len(link.commands())
        self.killed, self.forever = False, how.get('times') == 0
        if fault:
            print(f'{self.kind}: {fault} at command {nth} {how or ""}', flush=True)
            link.arm(fault, nth, kill=[s.daemon.pid, s.vm.pid], **how)
        with self._lent(hand) as undo:
            operation = self._ask()
            if hand and operation:
                wait_until(lambda: link.struck() or self._now(operation)['state'] not in OPEN,
                           'it comes to that command', 60, interval=0.02)
        if hand and not s.vm.alive:
            fault = 'guest'
            self.killed = True
        operation = self._follow(fault, operation, known)
        for each in filter(None, undo):
            each(s)
        self.commands = link.commands()[begun:]
        reached = any(command['fault'] for command in self.commands)
        link.disarm()
        if self.paused:
            assert self.killed and dies('guest', fault) or s.status() == 'paused', (
                f'its owner has paused it, it is {s.status()}')
            s.vm.qmp.execute('cont')
        self._wait_nothing_left()
        self._clear_left(operation)
        succeeded = self.work.settle(operation)
        assert succeeded or reached, f'nothing went wrong, and it has failed: {operation}'
        assert succeeded or hand or fault != 'delay', operation
        assert self.agent is None or not self.agent.frozen, 'its file systems were left frozen'
        assert not children(s.daemon.pid), 'a process of ours was left'
        self.tried += reached
        self.kills += self.killed
        return reached

    @contextlib.contextmanager
    def _lent(self, hand):
        """Somebody waits for the moment, and has done what he does when the block has ended."""
        over, undo = threading.Event(), []

        def wait():
            while not over.is_set():
                if self.link.struck():
                    undo.append(hand(self.s))
                    return
                time.sleep(0.005)
        thread = threading.Thread(target=wait)
        if hand:
            thread.start()
        yield undo
        over.set()
        if hand:
            thread.join()

    def _ask(self):
        """The operation, as it is then; None: it was refused; False: nobody knows."""
        try:
            answer = self.work.ask()
        except (OSError, http.client.HTTPException):
            return False
        if answer.status == 202:
            return answer.json
        assert answer.status in (409, 500, 502, 503, 504), answer.body
        assert answer.error['message'] and answer.error['code'] != 'internal', answer.body
        print(f'refused: {answer.error["message"]}', flush=True)
        return None

    def _now(self, operation):
        return self.s.daemon.get(f"/v1/operations/{operation['id']}").json

    def _follow(self, fault, operation, known):
        """Waits for the end of it all; the operation then, None where there is none."""
        s = self.s
        if not self.killed and (dies('daemon', fault) or dies('guest', fault)):
            self.killed = self._wait_death(fault, operation)
        if self.killed and dies('guest', fault):
            s.vm.kill()
            self.meanwhile(s)
        if self.killed and dies('daemon', fault):
            assert s.daemon.wait() == -9
            s.daemon.start()
            new = [each for each in s.operations() if each['id'] not in known]
            assert len(new) == 1 or not operation and not new, new
            operation = new[0] if new else None
        assert operation is not False, f'the daemon has gone:\n{s.daemon.log[-3000:]}'
        if self.killed:
            return self._revive(fault, operation)
        if self.forever:
            self._besiege(operation)
        return self._finished(operation, SETTLED + DEADLINE * (fault == SILENT))

    def _wait_death(self, fault, operation):
        """Whether somebody has died; the command may never have come."""
        s = self.s

        def over():
            if s.daemon.process.poll() is not None or not s.vm.alive:
                return True
            if self.link.struck():
                return False        # in a moment
            try:
                return operation is None or operation and self._now(operation)['state'] not in OPEN
            except (OSError, http.client.HTTPException):
                return False
        wait_until(over, 'somebody dies, or it is over', 60, interval=0.02)
        return s.daemon.process.poll() is not None or not s.vm.alive

    def _besiege(self, operation):
        """What goes wrong goes wrong until it is over, or says what is in the way."""
        def told():
            now = self._now(operation)
            return now['state'] not in OPEN or now['error']
        if operation:
            wait_until(told, f'it says what is in the way: {operation}', 30, interval=0.02)
        self.link.disarm()

    def _revive(self, fault, operation):
        s = self.s
        if dies('guest', fault):
            if isinstance(self.work, Revert):
                return self._revive_reverted(operation)
            if operation:       # it may be ended without the guest, and the files are locked meanwhile
                with contextlib.suppress(TimeoutError):
                    operation = s.daemon.finished(operation, timeout=5)
            s.restart()
        else:
            s.wait_attached()
        return self._finished(operation)

    def _revive_reverted(self, operation):
        """Nobody knows where its disks are to be found before that is decided."""
        s, work = self.s, self.work
        operation = self._finished(operation)
        reached = s.judge_either(work.kept, work.mark)
        assert reached == bool(operation and operation['state'] == 'succeeded'), operation
        s.restarted = True
        s.renamed.clear()
        s.vm.start()
        self.link.start()
        s.wait_writing()
        s.wait_attached()
        work.mark = None
        return operation

    def _finished(self, operation, limit=SETTLED):
        if not operation:
            return None
        begun = time.monotonic()
        operation = self.s.daemon.finished(operation)
        took = time.monotonic() - begun
        self.slowest = max(self.slowest, took)
        assert took < limit, f'it took {took:.1f} s to settle it: {operation}'
        return operation

    def _wait_nothing_left(self):
        """What QEMU would not let go at once goes in a moment."""
        def left():
            now = graph(self.s.vm.qmp)
            return {name for name in now.nodes if name.startswith('qsnap-')} - now.reached or now.jobs
        if self.forever and left():     # it is looked at anew when the guest is attached anew
            self.s.daemon.delete(self.s.path())
            self.s.daemon.attach(self.link.path, id='g')
        wait_until(lambda: not left(), 'nothing is left in QEMU', SETTLED, interval=0.05)

    def _clear_left(self, operation):
        """Files that QEMU would not let go at once have stayed, and the operation says so."""
        if not self.strict:
            self.s.aside |= self.s._files().keys()
        used = {file for path, _ in self.s.paths for file in files_below(path)}
        for line in operation['result'].get('left', ()) if operation else ():
            print(f'left: {line}', flush=True)
            path = line.partition(': ')[0]
            if os.path.realpath(path) not in used:
                os.unlink(path)     # by its owner, who was told

    def told(self):
        print(f'{self.kind}: {self.tried} faults survived, {self.kills} of them deaths; '
              f'settled within {self.slowest:.1f} s', flush=True)


@contextlib.contextmanager
def striking(folder, qemu, work, *, scene=ChainScene, agent=False, paused=False, **options):
    """Strikes on a peer of its own; with an agent that freezes when `agent` is given."""
    folder.mkdir(exist_ok=True)
    members, settings = {}, {}
    if agent:
        agent = Agent(folder / 'agent.sock')
        members, settings = {'agent': agent.path}, {'snapshot.quiesce': 'try'}
    disks = one_disk(folder, qemu) if WORKS[work].disks == 1 else None
    with scene(folder, qemu, disks, daemon=settings, **options) as s:
        s.daemon.delete(s.path())
        link = s.trap = FaultyLink(folder / 'link', s.vm.qmp_path, folder / 'record')
        link.start()
        s.guest = s.daemon.attach(link.path, id='g', **members)
        strikes = Strikes(s, link, work, agent or None, paused)
        try:
            yield strikes
            s.point('a further one')
            s.judge()
        finally:
            strikes.told()
            link.stop()
            if agent:
                agent.close()
