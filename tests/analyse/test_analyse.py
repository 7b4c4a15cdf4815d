# SPDX-License-Identifier: Apache-2.0
"""What analysers say about the sources; a warning is a failure."""

import json
import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ['QSNAP_TOOLS'])

# clang's analyser knows nothing of the cleanup attribute: what g_autoptr frees it takes for leaked, or for
# never read. And it would have memcpy_s for memcpy.
CHECKS = ','.join([
    '-*',
    'clang-analyzer-*',
    '-clang-analyzer-unix.Malloc',
    '-clang-analyzer-deadcode.DeadStores',
    '-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling',
])


def compiled():
    """The C files that the build knows, by their path in the tree."""
    commands = json.loads((BUILD / 'compile_commands.json').read_text())
    files = {os.path.realpath(os.path.join(each['directory'], each['file'])) for each in commands}
    return sorted(os.path.relpath(file, TOP) for file in files)


def scripts():
    """The shell scripts of the tree, and what they source."""
    found = list(TOP.glob('tests/support/*.sh'))
    for folder in '.ci', 'data', 'tests':
        for path in (TOP / folder).rglob('*'):
            if path.is_file() and os.access(path, os.X_OK):
                with open(path, 'rb') as file:
                    if re.match(rb'#!.*\b(ba)?sh\b', file.readline()):
                        found.append(path)
    return sorted(os.path.relpath(path, TOP) for path in found)


def run(*command):
    done = subprocess.run(command, cwd=TOP, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('file', compiled())
def test_c(file):
    run('clang-tidy', '-p', BUILD, '--quiet', '--checks=' + CHECKS, '--warnings-as-errors=*',
        '--extra-arg=-Wno-unknown-warning-option', file)


@pytest.mark.parametrize('file', scripts())
def test_shell(file):
    run('shellcheck', '-x', '--severity=warning', file)


@pytest.mark.parametrize('page', sorted(path.name for path in (TOP / 'data/man').iterdir()))
def test_manual(page):
    done = subprocess.run(['groff', '-mandoc', '-Tutf8', '-wmac', '-z', TOP / 'data/man' / page], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, '')
