# SPDX-License-Identifier: Apache-2.0
"""The daemon's life: settings that are read again while it runs, and two daemons on one host."""

import contextlib
import http.client
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from support import StorageDaemon, create_qcow2
from support.daemon import Daemon
from support.machine import die_with_parent, wait_until


class Configured(Daemon):
    """A daemon whose settings are in a file, of which the command line leaves them alone."""

    def __init__(self, folder, text='', options=None):
        super().__init__(folder, options=options)
        self.file = self.folder / 'qsnapd.conf'
        self.args = ['--config', self.file]
        self.write(text)

    def write(self, *lines):
        self.file.write_text('\n'.join(lines) + '\n')

    def command(self):
        command = super().command()
        for word in [word for word in command if word.startswith(('daemon.log=', 'daemon.max-chain-length='))]:
            at = command.index(word)
            del command[at - 1:at + 1]
        return command

    def reload(self, *lines):
        """Has it read another file, as `systemctl reload` does."""
        if lines:
            self.write(*lines)
        before = self.log.count('settings')
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.count('settings') > before, 'the settings are read again', interval=0.01)

    def guests(self):
        return {guest['id']: guest for guest in self.get('/v1/guests').json['guests']}

    def wait_guests(self, **states):
        wait_until(lambda: {name: guest['state'] for name, guest in self.guests().items()} == states,
                   f'the guests are {states}', interval=0.01)
        return self.guests()


@pytest.fixture
def daemon(tmp_path):
    with Configured(tmp_path / 'd') as running:
        yield running


@pytest.fixture
def peers(tmp_path):
    """Makes storage daemons, each with one disk; they have a third monitor each, at PEER.third."""
    running = []

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        third = folder / 'third.sock'
        peer = StorageDaemon(disks=[create_qcow2(folder / 'disk')], write=False, folder=folder / 'p',
                             args=['--chardev', f'socket,id=third,path={third},server=on,wait=off',
                                   '--monitor', 'chardev=third',
                                   '--nbd-server', f'addr.type=unix,addr.path={folder / "nbd"}',
                                   '--export', 'nbd,id=disk0,node-name=node0,writable=on'])
        peer.third = third
        peer.start()
        running.append(peer)
        return peer
    yield make
    for peer in running:
        peer.kill()


def guest(name, peer, *lines):
    return f'[guest {name}]\nmonitor = {peer.qmp_path}\n' + '\n'.join(lines)


# Settings that are read again

def test_guests_come_go_and_change(daemon, peers):
    a, b = peers('a'), peers('b')
    daemon.reload(guest('one', a))
    daemon.wait_guests(one='attached')
    daemon.reload(guest('one', a, 'max-chain-length = 7', 'image-ref = x'), guest('two', b))
    found = daemon.wait_guests(one='attached', two='attached')
    assert found['one']['max_chain_length'] == 7 and found['one']['image_refs'] == {'*': 'x'}
    assert daemon.log.count('one is attached') == 1, 'its link was kept'
    daemon.reload(guest('two', a))          # b is let go, and a is called otherwise
    daemon.wait_guests(two='attached')
    assert daemon.get('/v1/guests/two').json['monitor'] == str(a.qmp_path)
    daemon.reload('[daemon]')
    daemon.wait_guests()


def test_what_was_attached_by_request(daemon, peers):
    """The configuration takes it over under the same name, and leaves it when it has it no more."""
    a = peers('a')
    daemon.attach(a.qmp_path, id='one')
    daemon.reload(guest('one', a, 'max-chain-length = 5'))
    found = daemon.wait_guests(one='attached')['one']
    assert (found['origin'], found['max_chain_length']) == ('config', 5)
    assert daemon.log.count('one is attached') == 1, 'its link was kept'
    daemon.reload(guest('other', a))
    daemon.wait_guests(other='attached')
    daemon.reload('[daemon]')
    assert daemon.wait_guests(one='attached')['one']['origin'] == 'request'


def test_patterns(daemon, peers):
    a, b = peers('a'), peers('b')
    daemon.reload('[watch]', f'sockets = {a.qmp_path}')
    daemon.wait_guests(qmp='attached')
    daemon.reload('[watch]', f'sockets = {a.qmp_path};{b.qmp_path.parent}/q*.sock', guest('two', b))
    daemon.wait_guests(qmp='attached', two='attached')
    daemon.reload('[watch]', f'sockets = {b.qmp_path}')
    daemon.wait_guests(qmp='attached')
    assert daemon.get('/v1/guests/qmp').json['monitor'] == str(b.qmp_path)
    daemon.reload('[watch]', 'sockets =')
    daemon.wait_guests()


@pytest.mark.parametrize('lines, words', [
    (['[guest one]', 'monitor = /x', '[daemon]', 'transfers = many'], [':4: transfers = many']),
    (['[nothing]'], [':1: ', '[nothing]']),
    (['[guest two]', 'monitor = /x', '[guest three]', 'monitor = /y/../x'], ['guest two', 'guest three', 'monitor']),
    (['[guest a/b]', 'monitor = /x'], ['a/b']),
    (['[watch]', 'sockets = x'], ['x']),
])
def test_a_wrong_file_changes_nothing(daemon, peers, lines, words):
    a = peers('a')
    daemon.reload(guest('one', a))
    daemon.wait_guests(one='attached')
    daemon.reload(*lines)
    answer = daemon.post('/v1/reload')
    assert answer.status in (400, 404, 409), answer.body
    told = daemon.get('/v1/health').json['settings']['error']
    log = [line for line in daemon.log.splitlines() if 'settings stay' in line][-1]
    for word in words:
        assert word in answer.error['message'] and word in told and word in log
    assert daemon.guests().keys() == {'one'} and daemon.guests()['one']['state'] == 'attached'
    assert daemon.log.count('one is attached') == 1
    daemon.reload(guest('one', a))
    assert daemon.get('/v1/health').json['settings'] == {'error': None, 'need_restart': []}


def test_what_needs_a_restart(daemon):
    daemon.reload('[daemon]', 'transfers = 5', '[rest]', 'group = root')
    assert daemon.get('/v1/health').json['settings'] == {'error': None, 'need_restart': ['rest.group']}
    assert 'rest.group: only a restart' in daemon.log
    assert daemon.qsnap('reload', check=True).stdout.count('rest.group') == 1
    daemon.stop()
    daemon.start()
    assert daemon.get('/v1/health').json['settings']['need_restart'] == []


def test_the_service_manager_is_told(daemon):
    path = daemon.folder / 'notify.sock'
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        for lines in ['[daemon]'], ['nonsense']:
            daemon.write(*lines)
            daemon.process.send_signal(signal.SIGHUP)
            first = manager.recv(4096).decode().splitlines()
            assert first[0] == 'RELOADING=1' and int(first[1].removeprefix('MONOTONIC_USEC=')) > 0
            assert manager.recv(4096) == b'READY=1'
        daemon.stop()
        assert manager.recv(4096) == b'STOPPING=1'
    daemon.write('')
    daemon.start()


def test_defaults_and_the_log_change_at_once(daemon, peers):
    daemon.reload('[snapshot]', 'quiesce = require', '[daemon]', 'log = warning', guest('one', peers('a')))
    daemon.wait_guests(one='attached')
    assert 'one is attached' not in daemon.log
    assert daemon.post('/v1/guests/one/snapshots', {'image': 'none'}).status in (400, 409)
    daemon.write('[snapshot]', 'quiesce = none', '[daemon]', 'log = debug', daemon.file.read_text()[
        daemon.file.read_text().index('[guest'):])
    assert daemon.post('/v1/reload').status == 200
    assert daemon.snapshot('one', image='none')['state'] == 'succeeded'
    assert ' debug ' in daemon.log


def test_the_token_changes_at_once(tmp_path):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    token = tmp_path / 'token'
    token.write_text('a' * 32)
    with Configured(tmp_path / 'd', f'[rest]\nlisten = 127.0.0.1:{port}\ntoken-file = {token}') as daemon:
        def status(word):
            return daemon.get('/v1/health', headers={'Authorization': f'Bearer {word}'},
                              connection=http.client.HTTPConnection('127.0.0.1', port)).status
        assert (status('a' * 32), status('b' * 32)) == (200, 401)
        token.write_text('b' * 32)
        daemon.reload()
        assert (status('a' * 32), status('b' * 32)) == (401, 200)
        token.write_text('short')
        daemon.reload()
        assert status('b' * 32) == 200 and 'token' in daemon.get('/v1/health').json['settings']['error']


@contextlib.contextmanager
def image_service():
    """Counts who asks for its images: (its address, the tokens that were sent)."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers['X-Auth-Token'])
            body = b'{"images": []}'
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}', seen
        server.shutdown()


def test_the_image_service_changes_at_once(tmp_path):
    tokens = [tmp_path / 'first', tmp_path / 'second']
    for token in tokens:
        token.write_text(token.name)
    with image_service() as (first, seen_first), image_service() as (second, seen_second):
        text = [f'[glance]\nurl = {url}\ntoken-file = {token}' for url, token in zip((first, second), tokens)]
        with Configured(tmp_path / 'd', text[0], options={'store.kind': 'glance'}) as daemon:
            assert daemon.get('/v1/images').status == 200
            daemon.reload(text[1])
            assert daemon.get('/v1/images').status == 200
            daemon.reload('[glance]', 'cloud = x', f'clouds-file = {tmp_path / "nothing"}')
            assert 'nothing' in daemon.get('/v1/health').json['settings']['error']
            assert daemon.get('/v1/images').status == 200
    assert (set(seen_first), set(seen_second)) == ({'first'}, {'second'})


def test_a_guest_stays_while_somebody_works_on_it(daemon, peers, tmp_path):
    a = peers('a')
    daemon.reload(guest('one', a))
    daemon.wait_guests(one='attached')
    subprocess.run(['qemu-io', '-f', 'raw', '-c', 'write 0 32M', f'nbd+unix:///node0?socket={tmp_path / "a/nbd"}'],
                   check=True, stdout=subprocess.DEVNULL)
    disk = daemon.get('/v1/guests/one/disks').json['disks'][0]['name']
    answer = daemon.post(f'/v1/guests/one/disks/{disk}/mirror',
                         {'target': {'path': str(tmp_path / 'copy')}, 'end': 'keep', 'speed': 65536})
    assert answer.status == 202, answer.body
    daemon.reload('[daemon]')
    assert daemon.guests()['one']['state'] == 'attached'
    assert 'it stays as it is until the operation on it has ended' in daemon.log
    daemon.delete(f'/v1/operations/{answer.json["id"]}')
    assert daemon.finished(answer.json)['state'] == 'cancelled'
    daemon.wait_guests()


def test_a_store_goes_on_until_a_restart(tmp_path):
    """With all that it needs, though the file has nothing of it any more."""
    with image_service() as (url, seen):
        class Free(Configured):
            def command(self):
                command = super().command()
                at = command.index('--store')
                return command[:at] + command[at + 2:]
        with Free(tmp_path / 'd', f'[store]\nkind = glance\n[glance]\nurl = {url}') as daemon:
            daemon.reload('[store]', f'folder = {tmp_path / "images"}')
            assert daemon.get('/v1/health').json['settings'] == {
                'error': None, 'need_restart': ['store.kind', 'store.folder', 'glance.url']}
            assert daemon.get('/v1/images').status == 200 and seen


# Two daemons

def test_one_guest_belongs_to_one_daemon(daemon, peers, tmp_path):
    a = peers('a')
    daemon.attach(a.qmp_path, id='one')
    with Configured(tmp_path / 'e', guest('mine', a)) as second:
        # The monitor that the first has: nobody would ever be greeted there.
        refused = second.wait_guests(mine='refused')['mine']['error']
        # Another monitor of the same peer, which greets everybody; and again, whatever leads there.
        link = tmp_path / 'link'
        link.symlink_to(a.qmp_path)
        for monitor in a.third, link:
            answer = second.post('/v1/guests', {'monitor': str(monitor), 'id': 'web'})
            assert (answer.status, answer.error['code']) == (409, 'conflict'), answer.body
            for words in f'process {daemon.pid}', f'(state folder {daemon.folder / "state"})', 'guest web':
                assert words in answer.error['message']
        assert str(daemon.pid) in refused['message'] and refused['code'] == 'conflict'
        assert second.log.count('mine is refused') == 1
        # It is taken as soon as the first lets go, and not before.
        assert daemon.delete('/v1/guests/one').status == 204
        second.wait_guests(mine='attached')
        answer = daemon.post('/v1/guests', {'monitor': str(a.third), 'id': 'one'})
        assert answer.status == 409 and str(second.pid) in answer.error['message']
        second.kill()
        daemon.attach(a.third, id='one')
        second.start()
        second.wait_guests(mine='refused')


def test_who_asks_again_and_again_takes_nothing(daemon, peers, tmp_path):
    a = peers('a')
    daemon.attach(a.qmp_path, id='one')
    with Configured(tmp_path / 'e') as second:
        def ask():
            assert second.post('/v1/guests', {'monitor': str(a.qmp_path), 'id': 'web'}).status == 409
        ask()
        before = len(os.listdir(f'/proc/{daemon.pid}/fd'))
        for _ in range(20):
            ask()
        assert len(os.listdir(f'/proc/{daemon.pid}/fd')) <= before + 1


def test_the_second_waits_for_the_death_of_the_first(peers, tmp_path):
    a = peers('a')
    with Configured(tmp_path / 'd', guest('one', a)) as first:
        first.wait_guests(one='attached')
        with Configured(tmp_path / 'e', guest('two', a)) as second:
            second.wait_guests(two='refused')
            first.kill()
            second.wait_guests(two='attached')
            first.start()
            first.wait_guests(one='refused')


def test_one_state_folder(daemon):
    second = Configured(daemon.folder)
    second.args += ['--socket', str(daemon.folder / 'other.sock')]
    with pytest.raises(RuntimeError) as caught:
        second.start()
    assert f'process {daemon.pid}' in str(caught.value)
    assert daemon.get('/v1/health').status == 200


STRANGER = '''
import os, socket, sys
os.setuid(65534)
held = socket.socket(socket.AF_UNIX)
held.bind(b"\\0" + sys.argv[1].encode())
if sys.argv[2] == 'listens':
    held.listen()
print('held', flush=True)
sys.stdin.read()
'''


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can be somebody else')
@pytest.mark.parametrize('how', ['listens', 'binds'])
def test_a_stranger_keeps_nobody_from_a_guest(daemon, peers, how):
    a = peers('a')
    stat = os.stat(a.qmp_path)
    with open(f'/proc/{a.pid}/stat') as file:
        started = file.read().rsplit(')', 1)[1].split()[19]
    held = []
    for taken in f'qsnapd/socket/{stat.st_dev}:{stat.st_ino}', f'qsnapd/process/{a.pid}/{started}':
        held.append(subprocess.Popen([sys.executable, '-c', STRANGER, taken, how], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, preexec_fn=die_with_parent))
        assert held[-1].stdout.readline() == b'held\n'
    try:
        daemon.attach(a.qmp_path, id='one')
        assert daemon.log.count('it cannot be seen whether another daemon works on it') == 2
    finally:
        for process in held:
            process.kill()
            process.communicate()
