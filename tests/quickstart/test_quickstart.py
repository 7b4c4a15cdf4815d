# SPDX-License-Identifier: Apache-2.0
"""data/quickstart as a newcomer runs it: it shows what it promises, and leaves nothing behind."""

import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import tempfile

import pytest

from support.machine import wait_until

TOP = pathlib.Path(__file__).parents[2]


def tree(folder):
    return {(path, path.lstat().st_mtime_ns) for path in folder.rglob('*')}


def processes(word):
    """Those that have `word` in their command line."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if word.encode() in path.read_bytes():
                found.append(path.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


@pytest.fixture
def scratch():
    """Where the quickstart works; nothing may be left of it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='q s ', dir='/tmp'))
    yield folder
    left = [str(path) for path in folder.rglob('*')], processes(str(folder))
    for pid in left[1]:
        os.kill(int(pid), signal.SIGKILL)
    shutil.rmtree(folder)
    assert left == ([], [])


@pytest.fixture
def checkout(tmp_path):
    """The sources in a folder whose name has spaces, which are not written to."""
    folder = tmp_path / 'a check out'
    shutil.copytree(TOP, folder, ignore=shutil.ignore_patterns('build*', '.git', '__pycache__'))
    before = tree(folder)
    yield folder
    assert tree(folder) == before


def tool(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text('#!/bin/sh\n' + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def environment(scratch, tools=None):
    path = f'{tools}:{os.environ["PATH"]}' if tools else os.environ['PATH']
    return {**os.environ, 'TMPDIR': str(scratch), 'PATH': path}


@pytest.fixture
def built(tmp_path):
    """Tools that, instead of building, hand out what is built already: with sanitizers."""
    tools = tmp_path / 'tools'
    tool(tools, 'meson', 'mkdir -p "$2/agent/cli"\n')
    tool(tools, 'ninja', 'ln -s "$QSNAPD" "$2/agent/qsnapd"; ln -s "$QSNAP" "$2/agent/cli/qsnap"\n')
    return tools


def quickstart(checkout, env, *arguments):
    return subprocess.run([checkout / 'data/quickstart', *arguments], cwd='/', env=env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=280)


def test_it_shows_what_it_promises(checkout, scratch):
    done = quickstart(checkout, environment(scratch))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ''
    said = done.stdout
    assert (said.index('First quick backup') < said.index('Later quick backup') < said.index('Full image')
            < said.index('Proof'))
    assert re.search(r'4 frozen layers +qemu-img check: clean', said)
    assert re.search(r'7 uploaded images +qemu-img check: clean', said)
    points = re.findall(r'(first|second): one point +both disks show records 1 to (\d+)', said)
    assert [name for name, _ in points] == ['first', 'second']
    whole = re.search(r'whole: one point +both images show records 1 to (\d+)', said)
    assert int(points[0][1]) < int(points[1][1]) < int(whole[1])
    assert re.search(r'overlays folded back +in [\d.]+ ms', said)
    assert re.findall(r'(\w+) from the store +(\d) images .* identical', said) == [
        ('system', '3'), ('data', '2')]
    assert re.search(r'kill -9.* hold all \d+ records', said)
    # The chains, as trees; the full image has left nothing in them.
    assert not re.search(r'vm/(system|data)\.3', said)
    for disk in 'system', 'data':
        assert re.search(rf'vm/{disk}\.2 .*\n.*vm/{disk}\.1 .*\n.*vm/{disk}\.0 ', said)
    assert str(scratch) not in said


def test_keep_leaves_what_it_says(checkout, scratch, built):
    env = environment(scratch, built)
    done = quickstart(checkout, env, '--keep')
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line.strip() for line in done.stdout.splitlines()]
    next_steps = [line for line in said if 'qsnapd.sock' in line]
    assert len(next_steps) == 6
    assert len(processes(str(scratch))) == 2
    try:
        for line in next_steps:
            subprocess.run(['sh', '-c', line], env=env, check=True, stdout=subprocess.DEVNULL)
    finally:
        subprocess.run(['sh', '-c', said[-1]], env=env, check=True)
    wait_until(lambda: not processes(str(scratch)), 'both have ended', timeout=20)


@pytest.mark.parametrize('sent', [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize('phase', ['Guest', 'Chains'])
def test_interrupted_it_leaves_nothing(checkout, scratch, built, sent, phase):
    with subprocess.Popen([checkout / 'data/quickstart'], env=environment(scratch, built), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, start_new_session=True) as running:
        try:
            assert any(line.strip() == phase for line in running.stdout), 'it ended before'
            os.killpg(running.pid, sent)
            running.stdout.read()
            assert running.wait(30) == 128 + sent
        finally:
            running.kill()


def test_a_failure_shows_the_right_log(checkout, scratch, built, tmp_path):
    tool(built, 'ninja', 'echo this went wrong; exit 1\n')
    done = quickstart(checkout, environment(scratch, built))
    assert done.returncode == 1
    assert 'build.log' in done.stderr and 'this went wrong' in done.stderr


def test_a_daemon_that_ends_is_noticed(checkout, scratch, built):
    tool(built, 'qsnapd', 'echo no daemon today; exit 1\n')
    env = {**environment(scratch, built), 'QSNAPD': str(built / 'qsnapd')}
    done = quickstart(checkout, env)
    assert done.returncode == 1
    assert 'qsnapd.log' in done.stderr and 'no daemon today' in done.stderr


def test_unknown_options_are_refused(checkout, scratch):
    done = quickstart(checkout, environment(scratch), '--kept')
    assert done.returncode == 2 and 'usage' in done.stderr
