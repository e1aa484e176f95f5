"""Words in many threads at once."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, threading
from weighbridge import vocabulary
from weighbridge.errors import MalformedArtifactError
from weighbridge.registry import wire

sys.setswitchinterval(1e-6)
start = threading.Barrier(16)

def work():
    start.wait()
    for word in (vocabulary.Decision, vocabulary.Dossier, vocabulary.Manifest, vocabulary.Policy, vocabulary.UseContext):
        try:
            wire.decode(word, b"{}")
        except MalformedArtifactError:
            pass

threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_the_first_decoding_in_many_threads_does_not_crash() -> None:
    for _ in range(8):
        subprocess.run([sys.executable, "-c", SCRIPT], check=True)
