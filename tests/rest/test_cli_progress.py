# SPDX-License-Identifier: Apache-2.0
"""How qsnap waits: what it shows meanwhile, on a terminal and elsewhere, and Ctrl-C."""

import os
import pathlib
import pty
import re
import time

import pytest

from support.pretender import IMAGES, SNAPSHOTS, UUID, WAIT, Pretender, operation

TOP = pathlib.Path(__file__).parents[2]
MIB = 1024 * 1024


def test_plain_progress(tmp_path):
    """Without a terminal: a line for each phase."""
    script = {('POST', SNAPSHOTS): [(202, operation(step='freeze'))],
              ('GET', WAIT): [(200, operation(step='take-point')), (200, operation(step='upload', done=1, total=2)),
                              (200, operation(step='upload', done=2, total=2)), (200, operation('succeeded'))]}
    with Pretender(tmp_path, script) as daemon:
        done = daemon.qsnap('snapshot', 'web')
    assert done.returncode == 0
    assert done.stderr == 'freezing\nuploading\n'


def test_what_waits(tmp_path):
    """Whoever waits for room, or was paused, is not shown as if it moved."""
    no_room = {'code': 'no-space', 'message': 'the file system of /d has 1 MiB left', 'since': '2026-11-20T11:00:00Z'}
    ended = operation('cancelled', waiting=no_room, error={'message': 'cancelled before upload'})
    script = {('POST', SNAPSHOTS): [(202, operation(done=1, total=2))],
              ('GET', WAIT): [(200, operation(paused=True)), (200, operation(paused=True, waiting=no_room)), (200, operation()),
                              (200, ended)],
              ('GET', '/v1/operations'): [(200, {'operations': [
                  operation(paused=True), operation(waiting=no_room, paused=True), operation('succeeded', done=1, total=50)]})]}
    with Pretender(tmp_path, script) as daemon:
        done = daemon.qsnap('snapshot', 'web')
        listed = [re.split('  +', line.strip()) for line in daemon.qsnap('operations', '--all').stdout.splitlines()[1:]]
    assert done.returncode == 1
    *phases, problem, waited = done.stderr.splitlines()
    assert phases == ['uploading', 'paused', 'waiting for room', 'uploading']
    assert problem.endswith('cancelled before upload') and waited.strip() == no_room['message']
    assert [(row[3], row[5]) for row in listed] == [('paused', '-'), ('waiting', '-'), ('succeeded', '100%')]
    assert listed[1][-1] == no_room['message']


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


@pytest.mark.parametrize('locale, bar', [('C.UTF-8', '█'), ('C', '#')])
def test_progress_bar(tmp_path, locale, bar):
    steps = [(200, operation(done=number * 10 * MIB, total=100 * MIB)) for number in range(11)]
    script = {('POST', SNAPSHOTS): [(202, operation(step='freeze'))], ('GET', WAIT): [*steps, (200, operation('succeeded'))]}
    with Pretender(tmp_path, script) as daemon:
        status, written = on_terminal(daemon.command('snapshot', 'web'),
                                      {**os.environ, 'LC_ALL': locale, 'TERM': 'xterm'})
    assert status == 0
    assert '\rfreezing' in written
    assert re.search(rf'\ruploading \[{bar}+[^]{bar}]+\]  50%  50.0 MiB of 100.0 MiB', written)
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
        status, written = on_terminal(daemon.command('snapshot', 'web'), {**os.environ, 'LC_ALL': 'C.UTF-8'}, press)
        assert not [method for method, *_ in daemon.requests if method == 'DELETE']
    assert status == 130
    assert f'qsnap cancel {UUID}' in written and 'goes on' in written


@pytest.mark.parametrize('method, path, words', [('POST', SNAPSHOTS, ['snapshot', 'web']), ('POST', IMAGES, ['image', 'web', 'x']),
                                                 ('GET', f'/v1/operations/{UUID}', ['show', UUID, '--wait'])])
def test_who_waits_sees_the_same(tmp_path, method, path, words):
    steps = ['create-images', 'create-files', 'settle-caches', 'freeze', 'thaw', 'open-sources', 'upload', 'commit-back',
             'pivot', 'go-on', 'delete-overlays', 'something-new', 'withdraw']
    script = {(method, path): [(202 if method == 'POST' else 200, operation(state='queued', step=None))],
              ('GET', WAIT): [*[(200, operation(step=step)) for step in [None, *steps]], (200, operation('succeeded'))]}
    with Pretender(tmp_path, script) as daemon:
        done = daemon.qsnap(*words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        'queued', 'starting', 'registering the images', 'preparing', 'freezing', 'looking for the data', 'uploading',
        'folding back', 'moving the disk', 'tidying up', 'something-new', 'undoing']


def test_each_phase_has_a_rate_of_its_own(tmp_path):
    """What was measured of the upload says nothing about folding back, which begins anew."""
    uploads = [(200, operation(done=number * 100 * MIB, total=1000 * MIB)) for number in range(11)]
    folds = [(200, operation(step='commit-back', done=number * MIB, total=8 * MIB)) for number in range(9)]
    script = {('POST', IMAGES): [(202, operation())], ('GET', WAIT): [*uploads, *folds, (200, operation('succeeded'))]}
    with Pretender(tmp_path, script) as daemon:
        status, written = on_terminal(daemon.command('image', 'web', 'x'), {**os.environ, 'LC_ALL': 'C.UTF-8', 'TERM': 'xterm'})
    assert status == 0
    drawn = [line for line in re.split('\r|\x1b.K', written) if line]
    first = next(line for line in drawn if line.startswith('folding back'))
    assert '0 B of 8.0 MiB' in first and '/s' not in first
    rates = [float(rate) for line in drawn if line.startswith('folding back') for rate in re.findall(r'([\d.]+) MiB/s', line)]
    assert rates and max(rates) < 40


def test_all_steps_have_words():
    """Those that the operations' tables name, and no others."""
    tables = re.findall(r'static const Step \w+\[\] = {(.*?)^};', '\n'.join(
        path.read_text() for path in sorted((TOP / 'agent/operations').rglob('*.c'))), re.M | re.S)
    steps = set(re.findall(r'^ *{ "([\w-]+)",', '\n'.join(tables), re.M))
    known = set(re.findall(r'^ *{ "([\w-]+)",', (TOP / 'agent/cli/phases.c').read_text(), re.M))
    assert 'upload' in steps
    assert steps == known
