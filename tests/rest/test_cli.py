# SPDX-License-Identifier: Apache-2.0
"""qsnap: what it prints, and how it ends."""

import http.server
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.daemon import program

UUID = '3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55'
COMMANDS = ('attach', 'detach', 'guests', 'disks', 'snapshot', 'snapshots', 'images', 'operations', 'show', 'cancel', 'health')


@pytest.fixture
def guest(daemon, peer):
    daemon.qsnap('attach', peer.qmp_path, '--id', 'web', check=True)
    yield 'web'
    daemon.delete('/v1/guests/web')


# Usage

def test_help(daemon):
    done = daemon.qsnap('--help')
    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf'^  {command}\b', done.stdout, re.M)


@pytest.mark.parametrize('command', COMMANDS)
def test_help_of_a_command(daemon, command):
    done = daemon.qsnap(command, '--help')
    assert done.returncode == 0
    assert f'qsnap {command} ' in done.stdout.splitlines()[1]
    assert 'Examples:' in done.stdout and f'  qsnap {command}' in done.stdout
    assert '--json' in done.stdout and '--socket' in done.stdout


@pytest.mark.parametrize('words', [
    [], ['nonsense'], ['--nonsense'], ['guests', '--nonsense'], ['guests', 'word'], ['detach'], ['detach', 'a', 'b'],
    ['snapshot'], ['snapshot', 'a', 'b', 'c'], ['snapshot', 'a', '--metadata', 'x'], ['snapshot', 'a', '--metadata', '=x'],
    ['snapshot', 'a', '--image-ref', 'x', '--image-ref', 'y'], ['images', 'delete'], ['images', 'remove', 'x'],
    ['attach', '/x', '--image-ref', '=y'], ['--socket'],
])
def test_wrong_usage(daemon, words):
    done = daemon.qsnap(*words)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.startswith('qsnap: ')


# Ends

@pytest.mark.parametrize('how', ['option before', 'option behind', 'environment'])
def test_no_daemon(daemon, tmp_path, how):
    path = str(tmp_path / 'nothing')
    words = {'option before': ['--socket', path, 'guests'], 'option behind': ['guests', '--socket=' + path],
             'environment': ['guests']}[how]
    done = daemon.qsnap(*words, env={'QSNAPD_SOCKET': path} if how == 'environment' else {})
    assert done.returncode == 3
    assert path in done.stderr


def test_the_option_wins(daemon, tmp_path):
    done = daemon.qsnap('--socket', tmp_path / 'nothing', 'health', '--socket', daemon.socket)
    assert done.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason='becoming another user takes root')
def test_not_for_this_user(daemon):
    for folder in (daemon.folder, *daemon.folder.parents):
        if not os.stat(folder).st_mode & 0o001:
            os.chmod(folder, os.stat(folder).st_mode | 0o001)
    done = subprocess.run([program('QSNAP', 'qsnap'), '--socket', daemon.socket, 'guests'], text=True, capture_output=True,
                          user=65534, group=65534, extra_groups=[], env={'LC_ALL': 'C.UTF-8'})
    assert done.returncode == 7
    assert 'may not connect' in done.stderr


@pytest.mark.parametrize('words', [['disks', 'nobody'], ['detach', 'nobody'], ['snapshot', 'nobody'], ['snapshots', 'nobody'],
                                   ['show', 'nobody'], ['show', UUID], ['cancel', UUID],
                                   ['disks', '../operations'], ['disks', 'a/b?c#d']])
def test_not_found(daemon, words):
    done = daemon.qsnap(*words)
    assert done.returncode == 4
    assert words[-1] in done.stderr


def test_conflict(daemon, guest, peer):
    done = daemon.qsnap('attach', peer.qmp_path)
    assert done.returncode == 5
    assert done.stdout == ''


def test_a_request_that_is_wrong(daemon, guest):
    done = daemon.qsnap('snapshot', 'web', '--quiesce', 'maybe')
    assert done.returncode == 2
    assert 'quiesce' in done.stderr


def test_nobody_at_the_monitor(daemon, tmp_path):
    done = daemon.qsnap('attach', tmp_path / 'nothing')
    assert done.returncode in (4, 6)
    assert 'nothing' in done.stderr


def test_errors_as_json(daemon):
    done = daemon.qsnap('disks', 'nobody', '--json')
    assert done.returncode == 4
    assert json.loads(done.stdout)['error']['code'] == 'not-found'
    assert done.stderr.startswith('qsnap: ')


# A life

def test_relative_paths(daemon, peer):
    done = daemon.qsnap('attach', os.path.basename(peer.qmp_path), '--id', 'relative', cwd=os.path.dirname(peer.qmp_path))
    assert done.returncode == 0, done.stderr
    assert daemon.get('/v1/guests/relative').json['monitor'] == str(peer.qmp_path)
    daemon.qsnap('detach', 'relative', check=True)


def test_a_life(daemon, peer):
    qsnap = lambda *words: daemon.qsnap(*words, check=True).stdout
    assert qsnap('attach', peer.qmp_path, '--id', 'life') == 'Attached guest life.\n'
    head, row = qsnap('guests').splitlines()
    assert head.split()[:3] == ['GUEST', 'NAME', 'STATE']
    assert row.split()[:3] == ['life', '-', 'attached']

    disk, layer, start = qsnap('disks', 'life').splitlines()
    assert layer.split()[:1] == ['●'] and layer.endswith('active')
    path = layer.split()[1]
    assert start.strip() == f'starts from {path}'

    out = qsnap('snapshot', 'life', 'first', '--metadata', 'ticket=4711')
    assert 'Took point' in out and path + '.0' in out
    disk, active, below, start = qsnap('disks', 'life').splitlines()
    assert active.split()[:2] == ['●', path + '.1'] and active.endswith('active')
    assert below.split()[:2] == ['└─', path + '.0'] and not below.endswith('active')

    point = qsnap('snapshots', 'life').splitlines()[1].split()
    assert point[1] == 'first'
    image = point[-1]
    assert image in qsnap('images')
    assert re.search(r'^ +ticket: 4711$', qsnap('show', image), re.M)
    assert qsnap('operations').splitlines()[1:] == []
    row = qsnap('operations', '--all', '--guest', 'life').splitlines()[1].split()
    assert row[1:4] == ['life', 'snapshot', 'succeeded']
    assert re.search(r'^state: succeeded$', qsnap('show', row[0]), re.M)
    assert re.search(r'^state: attached$', qsnap('show', 'life'), re.M)
    assert daemon.qsnap('cancel', row[0]).returncode == 5
    assert qsnap('images', 'delete', image) == f'Deleted image {image}.\n'
    assert image not in qsnap('images')
    assert re.search(r'^status: ok$', qsnap('health'), re.M)
    assert qsnap('detach', 'life') == 'Detached guest life; it runs on.\n'
    assert qsnap('guests').splitlines()[1:] == []


def test_json_everywhere(daemon, guest):
    for words, member in ((['guests'], 'guests'), (['disks', 'web'], 'disks'), (['snapshots', 'web'], 'snapshots'),
                          (['images'], 'images'), (['operations'], 'operations'), (['show', 'web'], 'monitor'),
                          (['health'], 'version'), (['snapshot', 'web', '--image', 'none'], 'result')):
        for line in ['--json', *words], [*words, '--json']:
            assert member in json.loads(daemon.qsnap(*line, check=True).stdout)


def test_no_wait(daemon, guest):
    begun = json.loads(daemon.qsnap('snapshot', 'web', '--image', 'none', '--no-wait', '--json', check=True).stdout)
    done = json.loads(daemon.qsnap('show', begun['id'], '--wait', '--json', check=True).stdout)
    assert done['state'] == 'succeeded'
    told = daemon.qsnap('snapshot', 'web', '--image', 'none', '--no-wait', check=True).stdout
    assert daemon.finished(re.match('Operation ([0-9a-f-]+);', told)[1])['state'] == 'succeeded'


def test_the_same_key(daemon, guest):
    ids = {json.loads(daemon.qsnap('snapshot', 'web', '--image', 'none', '--json', '--idempotency-key', 'k', check=True)
                      .stdout)['id'] for _ in range(2)}
    assert len(ids) == 1


# What the daemon is told, and how qsnap shows what a real one says too seldom

class Pretender:
    """A daemon that answers by a script: {(method, path): answers, in order, the last again and again}."""

    def __init__(self, folder, script):
        self.socket, self.script, self.requests = folder / 'pretender.sock', script, []
        pretender = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                length = int(self.headers.get('Content-Length', 0))
                body = self.rfile.read(length)
                pretender.requests.append((self.command, self.path, json.loads(body) if body else None, self.headers))
                answers = pretender.script[self.command, self.path]
                status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if '?wait=' in self.path:
                    time.sleep(0.05)
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header('Content-Length', str(len(text)))
                self.send_header('Connection', 'close')
                self.end_headers()
                self.wfile.write(text)
            do_GET = do_POST = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_UNIX

            def server_bind(self):
                self.socket.bind(self.server_address)

            def get_request(self):
                plug, _ = self.socket.accept()
                return plug, ('pretender', 0)
        self.server = Server(str(self.socket), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def qsnap(self, *words, **options):
        return subprocess.run([program('QSNAP', 'qsnap'), '--socket', self.socket, *map(str, words)], text=True,
                              capture_output=True, timeout=60, env={**os.environ, 'LC_ALL': 'C.UTF-8'}, **options)


def operation(state='running', done=0, total=0, step='upload', **members):
    return {'id': UUID, 'kind': 'snapshot', 'guest': 'web', 'state': state, 'step': step, 'error': None,
            'progress': {'done': done, 'total': total}, 'result': {}, **members}


WAIT = f'/v1/operations/{UUID}?wait=1'
SNAPSHOTS = '/v1/guests/web/snapshots'
MIB = 1024 * 1024
FAILED = operation('failed', error={'code': 'no-space', 'message': 'the store is full', 'hint': 'Delete images.'})


def test_all_that_a_snapshot_can_ask_for(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation('succeeded'))]}) as daemon:
        done = daemon.qsnap('snapshot', 'web', 'näme', '-d', 'a', '--disk', 'b', '--quiesce', 'require', '--image', 'layer',
                            '--parents', 'ignore', '--metadata', 'k=v=w', '-m', 'empty=', '--image-ref', 'a=x', '--image-ref',
                            'b=y', '--overlay-folder', 'here', '--allow-format-change', '--end-jobs', '--idempotency-key', 'key',
                            cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (method, path, body, headers), = daemon.requests
    assert body == {'name': 'näme', 'disks': ['a', 'b'], 'quiesce': 'require', 'image': 'layer', 'parents': 'ignore',
                    'metadata': {'k': 'v=w', 'empty': ''}, 'image_ref': {'a': 'x', 'b': 'y'},
                    'overlay_folder': str(tmp_path / 'here'), 'allow_format_change': True, 'end_jobs': True}
    assert headers['Idempotency-Key'] == 'key'
    assert headers['Host'] == 'localhost' and headers['Content-Type'] == 'application/json'


def test_nothing_that_was_not_asked_for(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation('succeeded'))]}) as daemon:
        assert daemon.qsnap('snapshot', 'web', '--image-ref', 'x').returncode == 0
        assert daemon.requests[0][2] == {'image_ref': 'x'}


def test_all_that_an_attach_can_ask_for(tmp_path):
    with Pretender(tmp_path, {('POST', '/v1/guests'): [(201, {'id': 'web'})]}) as daemon:
        daemon.qsnap('attach', 'qmp', '--agent', 'qga', '--id', 'web', '--uuid', UUID, '--allow-format-change', '--overlay-folder',
                     '/o', '--image-ref', 'x', '--image-ref', 'b=y', cwd=tmp_path)
        daemon.qsnap('attach', '127.0.0.1:4444')
        assert [body for _, _, body, _ in daemon.requests] == [
            {'monitor': str(tmp_path / 'qmp'), 'agent': str(tmp_path / 'qga'), 'id': 'web', 'uuid': UUID,
             'allow_format_change': True, 'overlay_folder': '/o', 'image_refs': {'*': 'x', 'b': 'y'}},
            {'monitor': '127.0.0.1:4444'}]


@pytest.mark.parametrize('status, end', [(400, 2), (401, 7), (403, 7), (404, 4), (405, 2), (409, 5), (413, 2), (500, 1), (502, 1),
                                         (503, 6), (504, 6), (507, 1)])
def test_exit_statuses(tmp_path, status, end):
    error = {'error': {'code': 'x', 'status': status, 'message': 'what is wrong', 'hint': 'what to do'}}
    with Pretender(tmp_path, {('GET', '/v1/guests'): [(status, error)]}) as daemon:
        done = daemon.qsnap('guests')
    assert done.returncode == end
    assert done.stderr == 'qsnap: what is wrong\n       what to do\n'


@pytest.mark.parametrize('answer', [b'', b'no json', b'[]', b'null', b'{"guests": 1}', b'{"guests": [1, null, "x", {}]}', b'{}'])
def test_answers_of_another_form(tmp_path, answer):
    with Pretender(tmp_path, {('GET', '/v1/guests'): [(200, answer)]}) as daemon:
        done = daemon.qsnap('guests')
    assert done.returncode in (0, 1)
    assert 'Sanitizer' not in done.stderr and 'CRITICAL' not in done.stderr and 'Warning' not in done.stderr


def test_failed_operation(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation())], ('GET', WAIT): [(200, FAILED)]}) as daemon:
        done = daemon.qsnap('snapshot', 'web')
        assert done.returncode == 1
        assert 'the store is full\n       Delete images.\n' in done.stderr
        assert done.stdout == ''
        shown = daemon.qsnap('snapshot', 'web', '--json')
        assert shown.returncode == 1
        assert json.loads(shown.stdout) == FAILED


def test_cancelled_operation(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation())], ('GET', WAIT): [(200, operation('cancelled'))]}) as daemon:
        done = daemon.qsnap('snapshot', 'web')
    assert done.returncode == 1
    assert 'cancelled' in done.stderr


def test_the_daemon_goes_away(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation())]}) as daemon:
        daemon.server.handle_error = lambda *_: None            # the script has nothing for it: it hangs up
        done = daemon.qsnap('snapshot', 'web')
    assert done.returncode == 3
    assert UUID in done.stderr and 'taken up again' in done.stderr


def test_plain_progress(tmp_path):
    """Without a terminal: a line for each step."""
    script = {('POST', SNAPSHOTS): [(202, operation(step='freeze'))],
              ('GET', WAIT): [(200, operation(step='freeze')), (200, operation(step='upload', done=1, total=2)),
                              (200, operation(step='upload', done=2, total=2)), (200, operation('succeeded'))]}
    with Pretender(tmp_path, script) as daemon:
        done = daemon.qsnap('snapshot', 'web')
    assert done.returncode == 0
    assert done.stderr == 'freeze\nupload\n'


def on_terminal(command, env, act=None, timeout=60):
    """Runs a command on a pseudo-terminal; its exit status, and all that it wrote there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, env)
    written = b''
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                break
            if not chunk:
                break
            written += chunk
            if act is not None and act(terminal, written):
                act = None
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), written.decode()


def terminal_command(daemon, *words):
    return [program('QSNAP', 'qsnap'), '--socket', str(daemon.socket), *words]


@pytest.mark.parametrize('locale, bar', [('C.UTF-8', '█'), ('C', '#')])
def test_progress_bar(tmp_path, locale, bar):
    steps = [(200, operation(done=number * 10 * MIB, total=100 * MIB)) for number in range(11)]
    script = {('POST', SNAPSHOTS): [(202, operation(step='freeze'))], ('GET', WAIT): [*steps, (200, operation('succeeded'))]}
    with Pretender(tmp_path, script) as daemon:
        status, written = on_terminal(terminal_command(daemon, 'snapshot', 'web'),
                                      {**os.environ, 'LC_ALL': locale, 'TERM': 'xterm'})
    assert status == 0
    assert '\rfreeze' in written
    assert re.search(rf'\rupload \[{bar}+[^]{bar}]+\]  50%  50.0 MiB of 100.0 MiB', written)
    assert all(len(line) < 80 for line in re.split('\r|\x1b.K', written))
    assert re.search(r'[\d.]+ MiB/s  \d+ s left', written)
    assert written.rindex('\r\x1b[K') < written.index('Took point')


def test_interrupt(tmp_path):
    script = {('POST', SNAPSHOTS): [(202, operation())], ('GET', WAIT): [(200, operation(done=1, total=2))]}
    with Pretender(tmp_path, script) as daemon:
        def press(terminal, written):
            if b'50%' in written:
                os.write(terminal, b'\x03')
                return True
        status, written = on_terminal(terminal_command(daemon, 'snapshot', 'web'), {**os.environ, 'LC_ALL': 'C.UTF-8'}, press)
        assert not [method for method, *_ in daemon.requests if method == 'DELETE']
    assert status == 130
    assert f'qsnap cancel {UUID}' in written and 'goes on' in written


def test_control_characters(tmp_path):
    nasty = 'a\x1b[31m\x07\n\r\x9b2J‮evil'
    guests = {'guests': [{'id': nasty, 'name': '名前 ok', 'state': 'attached', 'error': {'message': nasty}},
                         {'id': 'b', 'name': 'e\u0301t\u00e9', 'state': 'gone'}]}
    disks = {'disks': [{'name': nasty, 'skipped': nasty, 'path': nasty, 'layers': [{'path': nasty, 'format': nasty}]}]}
    image = {'id': UUID, 'name': nasty, nasty: nasty}
    script = {('GET', '/v1/guests'): [(200, guests)], ('GET', '/v1/guests/x/disks'): [(200, disks)],
              ('GET', f'/v1/operations/{UUID}'): [(404, {'error': {'message': nasty}})],
              ('GET', f'/v1/images/{UUID}'): [(200, image)], ('GET', '/v1/images'): [(500, {'error': {'message': nasty}})]}
    with Pretender(tmp_path, script) as daemon:
        outputs = [daemon.qsnap(*words) for words in (['guests'], ['disks', 'x'], ['show', UUID], ['images'])]
    for done in outputs:
        text = done.stdout + done.stderr
        assert '\\x1b' in text and 'evil' in text
        assert not re.search(r'[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]', text)
    lines = outputs[0].stdout.splitlines()
    assert len(lines) == 3
    # Two columns for each of 名 and 前, none for the combining accent.
    column = lines[0].index('STATE')
    assert lines[1].index('attached') == column - 2
    assert lines[2].index('gone') == column + 1


def test_sizes(tmp_path):
    sizes = [0, 1023, 1024, 1536, 1024 ** 2 - 1, 10 * 1024 ** 3, 5 * 1024 ** 5, None]
    images = {'images': [{'id': str(number), 'size': size} for number, size in enumerate(sizes)]}
    with Pretender(tmp_path, {('GET', '/v1/images'): [(200, images)]}) as daemon:
        lines = daemon.qsnap('images').stdout.splitlines()[1:]
    assert [re.split('  +', line)[4] for line in lines] == [
        '0 B', '1023 B', '1.0 KiB', '1.5 KiB', '1.0 MiB', '10.0 GiB', '5.0 PiB', '-']


def test_long_chains(tmp_path):
    layers = [{'path': f'/d/disk.{number}', 'format': 'qcow2', 'allocated': 1, 'virtual_size': MIB} for number in (2, 1, 0)]
    with Pretender(tmp_path, {('GET', '/v1/guests/x/disks'): [(200, {'disks': [{'name': 'd', 'layers': layers}]})]}) as daemon:
        lines = daemon.qsnap('disks', 'x').stdout.splitlines()
    assert [line.split('qcow2')[0].rstrip() for line in lines] == ['d', '  ● /d/disk.2', '  └─ /d/disk.1', '     └─ /d/disk.0']


def test_help_needs_no_daemon(tmp_path):
    done = subprocess.run([program('QSNAP', 'qsnap'), 'guests', '--help', '--socket', str(tmp_path)], capture_output=True)
    assert done.returncode == 0
