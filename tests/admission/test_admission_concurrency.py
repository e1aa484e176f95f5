"""Many admissions of one model at once: one run, one decision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from weighbridge.testing.models import tiny_safetensors

WORKER = """
import json, sys, threading
from datetime import UTC, datetime
from pathlib import Path
from weighbridge.admission.admit import admit
from weighbridge.admission.installation import Installation, Settings
from weighbridge.admission.recording import decision_digest
from weighbridge.vocabulary import ModelRef, UseContext

home, model, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
told = []

def work():
    stages = []
    with Installation(Settings(home=home), environment={}, clock=lambda: datetime.now(UTC)) as house:
        policy = house.policy()
        ref = ModelRef(hub="local", name=model)
        watch = lambda stage, *_: stages.append(stage)
        decision = admit(ref, use=UseContext(), policy=policy, house=house, watch=watch)
    told.append([decision_digest(decision), "inspect" in stages])

sys.stdin.readline()
running = [threading.Thread(target=work) for _ in range(threads)]
for thread in running: thread.start()
for thread in running: thread.join()
print(json.dumps(told))
"""


def test_64_admissions_of_one_model_from_8_processes_make_one_run(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_safetensors())
    home = tmp_path / "home"
    command = [sys.executable, "-c", WORKER, str(home), str(model), "8"]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=240) for worker in workers]
    told = [one for out, err in outputs for one in json.loads(out or err)]
    assert len(told) == 64, "\n".join(err for _, err in outputs)
    assert len({digest for digest, _ in told}) == 1
    assert sum(ran for _, ran in told) == 1
    listed = subprocess.run(
        [sys.executable, "-m", "weighbridge", "list", "--all", "--json", "--home", str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(listed.stdout)["decisions"]) == 1
