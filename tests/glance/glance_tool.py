# SPDX-License-Identifier: Apache-2.0
"""The program glance-tool: a store of images from the command line."""

import json
import os
import pathlib
import signal
import subprocess
import uuid


class Failed(Exception):
    """The tool gave up: `word` is the kind of error."""
    def __init__(self, output):
        super().__init__(output)
        self.word, _, self.message = output.strip().split('\n')[-1].partition(': ')


class Tool:
    """glance-tool, pointed at one service."""
    program = pathlib.Path(os.environ.get('QSNAP_TOOLS', 'build')) / 'tests/glance/glance-tool'

    def __init__(self, url, *options):
        self.start_words = [self.program, '--timeout=5', *options, url]

    def start(self, *words):
        return subprocess.Popen([*map(str, self.start_words), *map(str, words)], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def run(self, *words):
        """The images it printed."""
        process = self.start(*words)
        output, errors = process.communicate(timeout=240)
        if process.returncode:
            raise Failed(errors)
        return [json.loads(line) for line in output.splitlines()]

    def create(self, format='qcow2', *words, id=None):
        id = id or str(uuid.uuid4())
        self.run('create', id, format, *words)
        return id

    def upload(self, id, path, format='qcow2', *words):
        return self.run('upload', id, path, format, *words)[0]

    def interrupt_upload(self, id, path):
        """Starts one and interrupts it on its way; what it said."""
        process = self.start('upload', id, path, 'raw')
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 1
        return Failed(errors)
