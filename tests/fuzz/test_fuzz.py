# SPDX-License-Identifier: Apache-2.0
"""The fuzzers under libFuzzer, for as long as QSNAP_FUZZ_SECONDS says (60 each)."""

import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
TOP = HERE.parent.parent
SECONDS = int(os.environ.get('QSNAP_FUZZ_SECONDS', '60'))
FUZZERS = sorted(path.stem for path in HERE.glob('fuzz-*.c'))

# Clang finds alignment where GLib's own macros cast: warnings are the other build's.
OPTIONS = ['-Db_sanitize=address,undefined', '-Db_lundef=false', '-Dwarning_level=0',
           '-Dwerror=false', '-Dc_args=-fsanitize=fuzzer-no-link']

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 900)]


@pytest.fixture(scope='session')
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp('fuzz-build')
    subprocess.run(['meson', 'setup', folder, TOP, *OPTIONS], check=True,
                   env={**os.environ, 'CC': 'clang'})
    subprocess.run(['ninja', '-C', folder, *(f'tests/fuzz/{name}' for name in FUZZERS)],
                   check=True)
    return folder


@pytest.mark.parametrize('name', FUZZERS)
def test_fuzzer(build, tmp_path, name):
    found = tmp_path / 'found'
    found.mkdir()
    run = subprocess.run(
        [build / 'tests/fuzz' / name, f'-max_total_time={SECONDS}', '-print_final_stats=1',
         f'-artifact_prefix={tmp_path}/', found, HERE / 'corpus' / name.removeprefix('fuzz-')],
        stderr=subprocess.PIPE, text=True, errors='replace')
    executions = re.search(r'number_of_executed_units: (\d+)', run.stderr)
    assert run.returncode == 0, run.stderr[-4000:]
    assert executions and int(executions[1]) > 0
    print(f'{name}: {executions[1]} executions')
