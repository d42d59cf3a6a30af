"""The functions of AWS: one folder each, with handler.py. What of the application they take along is copied beside it."""

import shutil
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
# Of the application, into each function: of the standard library alone.
SHARED: Final = {"slack": ("operations/blocks.py", "operations/aws_opened.py", "operations/aws_events.py")}


def bundle(name: str, folder: Path) -> str:
    """The folder that becomes the function, made anew."""
    made = folder / name
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(HERE / name, made, ignore=shutil.ignore_patterns("__pycache__"))
    for path in SHARED.get(name, ()):
        target = made / path
        target.parent.mkdir(exist_ok=True)
        (target.parent / "__init__.py").touch()
        shutil.copyfile(ROOT / path, target)
    return str(made)
