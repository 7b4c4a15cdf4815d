# SPDX-License-Identifier: Apache-2.0
"""Where the daemon listens, whom it lets in, and how it comes and goes."""

import grp
import http.client
import os
import signal
import socket
import stat
import subprocess

import pytest

from support.daemon import Daemon, program
from support.machine import wait_until

TOKEN = 'correct-horse-battery-staple'


def run_daemon(*arguments, env=None):
    return subprocess.run([program('QSNAPD', 'qsnapd'), *map(str, arguments)], text=True, capture_output=True,
                          timeout=60, env={**os.environ, **(env or {})})


def free_port():
    with socket.socket() as plug:
        plug.bind(('127.0.0.1', 0))
        return plug.getsockname()[1]


def test_mode_and_end(tmp_path):
    daemon = Daemon(tmp_path / 'd')
    daemon.start()
    assert stat.S_IMODE(os.stat(daemon.socket).st_mode) == 0o660
    assert stat.S_IMODE(os.stat(tmp_path / 'd/state').st_mode) == 0o700
    daemon.stop()
    assert not daemon.socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='giving a file to a group of choice takes root')
def test_group(tmp_path):
    group = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, os.getgid()))
    with Daemon(tmp_path / 'd', options={'rest.group': group.gr_name}) as daemon:
        assert os.stat(daemon.socket).st_gid == group.gr_gid


def test_unknown_group(tmp_path):
    done = run_daemon('--state', tmp_path / 's', '--store', tmp_path / 'i', '--socket', tmp_path / 'sock',
                      '-o', 'rest.group=no-such-group')
    assert done.returncode == 2
    assert 'no-such-group' in done.stderr
    assert not (tmp_path / 'sock').exists() and not (tmp_path / 'sock.new').exists()


def test_interrupt_ends_it_too(tmp_path):
    daemon = Daemon(tmp_path / 'd')
    daemon.start()
    os.kill(daemon.pid, signal.SIGINT)
    assert daemon.wait() == 0
    daemon.assert_clean()


@pytest.mark.parametrize('write', [1, 3, 5])
def test_dying_at_a_journal_write(tmp_path, peer, write):
    """What tests of recovery build on: the daemon can be made to die at any of its durable writes."""
    daemon = Daemon(tmp_path / 'd', env={'QSNAPD_TEST_KILL_AT_JOURNAL_WRITE': str(write)})
    daemon.start(ready=False)
    with pytest.raises((OSError, TimeoutError)):
        wait_until(lambda: daemon.socket.exists() or daemon.process.poll(), 'it listens, or is gone')
        daemon.attach(peer.qmp_path, id='web')
        daemon.snapshot('web', image='none')
    assert daemon.wait() == -signal.SIGKILL
    daemon.env = {}
    with daemon:
        assert daemon.get('/v1/health').status == 200


def test_a_dead_socket_is_replaced(tmp_path):
    daemon = Daemon(tmp_path / 'd')
    daemon.start()
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    assert daemon.get('/v1/health').status == 200
    daemon.stop()


def test_a_live_socket_is_left_alone(tmp_path):
    with Daemon(tmp_path / 'one') as first:
        done = run_daemon('--state', tmp_path / 'two', '--store', tmp_path / 'i', '--socket', first.socket)
        assert done.returncode == 1
        assert str(first.socket) in done.stderr and 'listens there already' in done.stderr
        assert first.get('/v1/health').status == 200


def test_a_file_in_the_way(tmp_path):
    (tmp_path / 'sock').write_text('precious')
    done = run_daemon('--state', tmp_path / 's', '--store', tmp_path / 'i', '--socket', tmp_path / 'sock')
    assert done.returncode == 1
    assert 'no socket' in done.stderr
    assert (tmp_path / 'sock').read_text() == 'precious'


def test_one_daemon_for_one_journal(tmp_path):
    with Daemon(tmp_path / 'd') as first:
        done = run_daemon('--state', tmp_path / 'd/state', '--store', tmp_path / 'i', '--socket', tmp_path / 'sock')
        assert done.returncode == 1
        assert first.get('/v1/health').status == 200
    assert not (tmp_path / 'sock').exists()


def test_a_long_path(tmp_path):
    done = run_daemon('--state', tmp_path / 's', '--store', tmp_path / 'i', '--socket', tmp_path / ('x' * 100))
    assert done.returncode == 2
    assert 'too long' in done.stderr


@pytest.mark.parametrize('arguments, problem', [
    (['--nonsense'], '--nonsense'),
    (['argument'], 'argument'),
    (['-o', 'daemon.nonsense=1'], 'nonsense'),
    (['-o', 'nonsense'], 'nonsense'),
    (['-o', 'daemon.transfers=many'], 'transfers'),
    (['--config', '/nonexistent/qsnapd.conf'], '/nonexistent/qsnapd.conf'),
])
def test_wrong_usage(arguments, problem):
    done = run_daemon(*arguments)
    assert done.returncode == 2
    assert problem in done.stderr
    assert 'Sanitizer' not in done.stderr


def test_help_and_version():
    done = run_daemon('--help')
    assert done.returncode == 0 and 'Examples:' in done.stdout
    done = run_daemon('--version')
    assert done.returncode == 0 and done.stdout.startswith('qsnapd ')


def test_settings_of_a_file(tmp_path):
    (tmp_path / 'conf').write_text(f'[rest]\nsocket={tmp_path}/other.sock\n')
    daemon = Daemon(tmp_path / 'd', args=['--config', tmp_path / 'conf'])
    command = daemon.command()
    at = command.index('--socket')
    del command[at:at + 2]
    daemon.command = lambda: command
    daemon.socket = tmp_path / 'other.sock'
    with daemon:
        assert daemon.get('/v1/health').status == 200


# TCP

@pytest.fixture(scope='module')
def tcp(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tcp')
    (folder / 'token').write_text(TOKEN + '\n')
    port = free_port()
    with Daemon(folder / 'd', options={'rest.listen': f'127.0.0.1:{port}', 'rest.token-file': folder / 'token'}) as daemon:
        daemon.port = port
        yield daemon


def ask(daemon, headers, path='/v1/health'):
    return daemon.get(path, headers=headers, connection=http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=30))


@pytest.mark.parametrize('given', ['Bearer ' + TOKEN, 'bearer ' + TOKEN])
def test_token(tcp, given):
    assert ask(tcp, {'Authorization': given}).status == 200


@pytest.mark.parametrize('given', [
    None, '', 'Bearer', 'Bearer ', TOKEN, 'Basic ' + TOKEN, 'Bearer ' + TOKEN[:-1], 'Bearer ' + TOKEN + 'x',
    'Bearer x' + TOKEN[1:], 'Bearer ' + TOKEN + TOKEN, 'Bearer  ' + TOKEN, 'Bearer ' + TOKEN.upper()])
def test_wrong_tokens(tcp, given):
    for path in '/v1/health', '/v1/nothing':
        answer = ask(tcp, {} if given is None else {'Authorization': given}, path)
        assert answer.status == 401
        assert answer.headers['WWW-Authenticate'] == 'Bearer'
        assert answer.error['code'] == 'unauthorized'
        assert 'token' in answer.error['message']
        assert TOKEN not in answer.body.decode()


def test_tcp_hosts(tcp):
    for host, status in (f'127.0.0.1:{tcp.port}', 200), ('localhost', 200), ('example.org', 403), ('qsnapd', 403):
        assert ask(tcp, {'Host': host, 'Authorization': 'Bearer ' + TOKEN}).status == status


def test_the_unix_socket_takes_no_token(tcp):
    assert tcp.get('/v1/health').status == 200


def test_the_token_is_not_logged(tcp):
    ask(tcp, {'Authorization': 'Bearer ' + TOKEN})
    assert 'address 127.0.0.1' in tcp.log
    assert TOKEN not in tcp.log


@pytest.mark.parametrize('text, problem', [(None, 'No such file'), ('', 'characters'), ('short', 'characters'),
                                           ('two words of enough length', 'one word')])
def test_unfit_token_files(tmp_path, text, problem):
    if text is not None:
        (tmp_path / 'token').write_text(text)
    done = run_daemon('--state', tmp_path / 's', '--store', tmp_path / 'i', '--socket', tmp_path / 'sock',
                      '-o', f'rest.listen=127.0.0.1:{free_port()}', '-o', f'rest.token-file={tmp_path}/token')
    assert done.returncode in (1, 2)
    assert 'token' in done.stderr and problem in done.stderr


def test_listening_takes_a_token(tmp_path):
    done = run_daemon('--state', tmp_path / 's', '--store', tmp_path / 'i', '--socket', tmp_path / 'sock',
                      '-o', f'rest.listen=127.0.0.1:{free_port()}')
    assert done.returncode == 2
    assert 'token-file' in done.stderr


def test_a_port_that_is_taken(tmp_path):
    (tmp_path / 'token').write_text(TOKEN)
    with socket.socket() as plug:
        plug.bind(('127.0.0.1', 0))
        plug.listen()
        done = run_daemon('--state', tmp_path / 's', '--store', tmp_path / 'i', '--socket', tmp_path / 'sock',
                          '-o', f'rest.listen=127.0.0.1:{plug.getsockname()[1]}', '-o', f'rest.token-file={tmp_path}/token')
    assert done.returncode == 1
    assert 'listen' in done.stderr
    assert not (tmp_path / 'sock').exists()


def test_no_tcp_without_being_asked(tmp_path):
    with Daemon(tmp_path / 'd') as daemon:
        inodes = {os.readlink(f'/proc/{daemon.pid}/fd/{fd}') for fd in os.listdir(f'/proc/{daemon.pid}/fd')}
        listening = [line.split() for name in ('tcp', 'tcp6') for line in open(f'/proc/net/{name}')][1:]
        assert not [line for line in listening if f'socket:[{line[9]}]' in inodes]
