"""Compiles what is in C at installation, where a C compiler and Python's headers are found; otherwise says so.

The package works without it, slower. ``CC`` names another compiler; ``CC=false`` leaves it out.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# A folder with a `_native.c`, and what is slower without it.
_PARTS = {
    Path("schemas/tradewire/schemas"): "without the encoder in C, events are encoded more slowly",
    Path("sinks/tradewire/sinks"): "without the loops in C, events are stored more slowly",
}
# No fused or reordered arithmetic and no assumptions about the machine that will run it: a wheel travels.
_FLAGS = ("-O2", "-fPIC", "-shared", "-fno-strict-aliasing")


class NativeHook(BuildHookInterface[Any]):
    """Puts each ``_native`` into the wheel; for an editable installation beside its source."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles; a failure is printed and leaves the wheel without it."""
        if self.target_name != "wheel":
            return
        self._folder = tempfile.TemporaryDirectory()
        for folder, slower in _PARTS.items():
            self._compile(folder, slower, version, build_data)

    def _compile(self, folder: Path, slower: str, version: str, build_data: dict[str, Any]) -> None:
        source = Path(self.root, folder, "_native.c")
        beside = source.with_name(f"_native{sysconfig.get_config_var('EXT_SUFFIX')}")
        built = Path(self._folder.name, f"{folder.name}{beside.name}")
        command = [*shlex.split(os.environ.get("CC") or "cc"), *_FLAGS, f"-I{sysconfig.get_path('include')}"]
        try:
            subprocess.run([*command, str(source), "-o", str(built)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            print(f"{slower}: {said[-500:]}", file=sys.stderr)
            if version == "editable":
                beside.unlink(missing_ok=True)
        else:
            if version == "editable":
                # Not written over: a process may have the old one loaded.
                shutil.copy2(built, f"{beside}.new")
                Path(f"{beside}.new").replace(beside)
                return
            build_data["force_include"][str(built)] = f"tradewire/{folder.name}/{beside.name}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what was compiled for the wheel."""
        if self.target_name == "wheel":
            self._folder.cleanup()
