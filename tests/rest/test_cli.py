# SPDX-License-Identifier: Apache-2.0
"""qsnap: what it prints, and how it ends."""

import json
import os
import re
import subprocess

import pytest

from support.daemon import program

UUID = '3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55'
COMMANDS = ('attach', 'detach', 'guests', 'disks', 'snapshot', 'image', 'snapshots', 'tree', 'adopt', 'delete', 'revert',
            'restore', 'commit', 'stream', 'mirror', 'shorten', 'plan', 'images', 'operations', 'show', 'cancel', 'pause',
            'resume', 'speed', 'health', 'reload')


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
    ['image'], ['image', 'a'], ['image', 'a', 'b', 'c'], ['image', 'a', 'b', '--parents', 'upload'],
    ['image', 'a', 'b', '--deadline', 'soon'], ['image', 'a', 'b', '--deadline=-1'], ['image', 'a', 'b', '--deadline', '1.5'],
    ['image', 'a', 'b', '--deadline', '99999999999'], ['image', 'a', 'b', '--disks', ''], ['image', 'a', 'b', '--disks', 'x,,y'],
    ['commit', 'a'], ['commit', 'a', 'b', 'c'], ['commit', 'a', 'b', '--speed', 'fast'], ['commit', 'a', 'b', '--deadline', 'x'],
    ['commit', 'a', 'b', '--into', 'x'], ['stream', 'a', 'b', '--deadline', '1'], ['mirror', 'a', 'b'], ['delete', 'a'],
    ['mirror', 'a', 'b', 'nbd:nonsense'], ['mirror', 'a', 'b', 'nbd://'], ['mirror', 'a', 'b', 'nbd+unix:///x'],
    ['delete', 'a', 'b', '--disks', ','], ['revert', 'a'], ['restore', 'a'], ['shorten', 'a', '--max-chain-length=-1'],
    ['snapshot', 'a', '--max-chain-length', 'x'], ['plan'], ['plan', 'snapshot', 'a'], ['plan', 'plan', 'commit'], ['plan', 'commit'],
    ['tree'], ['adopt', 'a', '/nowhere'], ['adopt', 'a', '/dev/null'], ['pause'], ['resume', 'a', 'b'], ['speed', 'a'],
    ['speed', 'a', 'fast'],
    ['image', 'a', 'b', '--disks', 'all', '--disk', 'x'], ['snapshot', 'a', '--disks', 'x,'], ['snapshot', 'a', '--deadline', '1'],
])
def test_wrong_usage(daemon, words):
    done = daemon.qsnap(*words)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.startswith('qsnap: ')


def test_an_unknown_option(daemon):
    for words, where in (['--x', 'tree'], ''), (['tree', '--x'], 'tree '):
        assert daemon.qsnap(*words).stderr.splitlines()[-1].strip() == f'See qsnap {where}--help.'


def test_the_version(daemon):
    assert daemon.qsnap('--version', check=True).stdout == f"qsnap {daemon.get('/v1/health').json['version']}\n"


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
                                   ['tree', 'nobody'], ['commit', 'nobody', 'd'], ['plan', 'delete', 'nobody', 'p'],
                                   ['revert', 'nobody', 'p'], ['shorten', 'nobody'], ['pause', UUID], ['speed', UUID, '1M'],
                                   ['show', 'nobody'], ['show', UUID], ['cancel', UUID],
                                   ['disks', '../operations'], ['disks', 'a/b?c#d']])
def test_not_found(daemon, words):
    done = daemon.qsnap(*words)
    assert done.returncode == 4
    assert ('nobody' if 'nobody' in words else UUID if UUID in words else words[-1]) in done.stderr


def test_an_image_of_nobody(daemon, guest):
    for words, name in (['nobody', 'x'], 'nobody'), (['web', 'x', '--disks', 'nowhere'], 'nowhere'):
        done = daemon.qsnap('image', *words)
        assert done.returncode == 4
        assert name in done.stderr and done.stdout == ''


def test_conflict(daemon, guest, peer):
    done = daemon.qsnap('attach', peer.qmp_path)
    assert done.returncode == 5
    assert done.stdout == ''


def test_a_request_that_is_wrong(daemon, guest):
    done = daemon.qsnap('snapshot', 'web', '--quiesce', 'maybe')
    assert done.returncode == 2
    assert 'quiesce' in done.stderr
    for words in (['--format', 'vmdk'], ['--on-deadline', 'wait'], ['--deadline', '0']):
        done = daemon.qsnap('image', 'web', 'x', *words)
        assert done.returncode == 2
        assert words[0].strip('-').replace('-', '_') in done.stderr


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


def test_a_full_image(daemon, guest, peer):
    before, = re.findall(r'starts from (.+)', daemon.qsnap('disks', 'web', check=True).stdout)
    out = daemon.qsnap('image', 'web', 'whole', '--metadata', 'ticket=4711', check=True).stdout
    assert out.startswith('Took a full image of guest web (stood still for ')
    head, row = out.splitlines()[1:]
    assert head.split()[:3] == ['DISK', 'IMAGE', 'SIZE']
    disk, image, size, unit, *overlay, start = row.split()
    assert overlay == ['folded', 'back']
    assert start == before
    layer, start = re.findall(r'/\S+', daemon.qsnap('disks', 'web', check=True).stdout)
    assert start == before and os.path.samefile(layer, start)
    shown = daemon.qsnap('show', image, check=True).stdout
    for line in 'name: whole', 'hidden: false', 'ticket: 4711':
        assert re.search(rf'^ *{line}$', shown, re.M)
    row = daemon.qsnap('operations', '--all', '--guest', 'web', check=True).stdout.splitlines()[1].split()
    assert row[1:4] == ['web', 'image', 'succeeded']
    assert 'folded: true' in daemon.qsnap('show', row[0], check=True).stdout
    daemon.qsnap('images', 'delete', image, check=True)


def test_json_everywhere(daemon, guest):
    for words, member in ((['guests'], 'guests'), (['disks', 'web'], 'disks'), (['snapshots', 'web'], 'snapshots'),
                          (['images'], 'images'), (['operations'], 'operations'), (['show', 'web'], 'monitor'),
                          (['health'], 'version'), (['snapshot', 'web', '--image', 'none'], 'result'),
                          (['image', 'web', 'x', '--disks', 'all'], 'result')):
        for line in ['--json', *words], [*words, '--json']:
            assert member in json.loads(daemon.qsnap(*line, check=True).stdout)


def test_no_wait(daemon, guest):
    begun = json.loads(daemon.qsnap('snapshot', 'web', '--image', 'none', '--no-wait', '--json', check=True).stdout)
    done = json.loads(daemon.qsnap('show', begun['id'], '--wait', '--json', check=True).stdout)
    assert done['state'] == 'succeeded'
    told = daemon.qsnap('image', 'web', 'x', '--no-wait', check=True).stdout
    assert daemon.finished(re.match('Operation ([0-9a-f-]+);', told)[1])['state'] == 'succeeded'


def test_the_same_key(daemon, guest):
    ids = {json.loads(daemon.qsnap('snapshot', 'web', '--image', 'none', '--json', '--idempotency-key', 'k', check=True)
                      .stdout)['id'] for _ in range(2)}
    assert len(ids) == 1


def test_raw_is_explained(daemon):
    """What it costs stands where it is chosen."""
    for command in 'image', 'snapshot':
        shown = ' '.join(daemon.qsnap(command, '--help').stdout.split())
        assert re.search(r'raw sends every byte of the disk through HTTP, zeros too; one in the format qcow2 sends only', shown)


def test_help_needs_no_daemon(tmp_path):
    done = subprocess.run([program('QSNAP', 'qsnap'), 'guests', '--help', '--socket', str(tmp_path)], capture_output=True)
    assert done.returncode == 0
