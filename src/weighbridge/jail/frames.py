"""What passes between the parent and a jailed child: jobs over a socket, answers over a pipe.

A job is `JOB` (number, length) and that many bytes of JSON, with at most one descriptor beside it. An answer is `ANSWER`
(number of the job, kind, length) and that many bytes. The first job, number 0, is the setting of the child; its answer is
READY with the Confinement, or FAILED with the reason.
"""

from __future__ import annotations

import struct

JOB = struct.Struct(">QI")
ANSWER = struct.Struct(">QcI")

JOBS_FD = 0
"""Where the child receives jobs: its standard input."""
ANSWERS_FD = 1
"""Where the child answers: its standard output. The system-call filter lets it write nowhere else."""

READY = b"R"
FAILED = b"F"
VALUE = b"V"
RAISED = b"E"
MEMORY = b"M"
