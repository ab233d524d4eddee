"""OpenVINO's core: one for the whole process, never let go.

Its CPU plugin gives the thread that loads it a stack for signals, and frees that with the last core, from whichever thread.
The next signal that Python handles there (a pod's SIGTERM) would then end the process in a segmentation fault.
"""

from __future__ import annotations

import openvino as ov

CORE = ov.Core()
