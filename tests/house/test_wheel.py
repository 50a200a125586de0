"""The wheel as a user gets it: built, unpacked into an environment of its own, used from an unrelated folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

# Builds, and type checks from nothing: on a machine that others use as well each may take minutes.
pytestmark = pytest.mark.timeout(500)
REPO = Path(__file__).resolve().parents[2]
ROOMS = ("core", "schemas", "producers", "processors", "sinks", "gateway", "operations")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPO)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and, by a path file that does not follow editable installs, our dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


def test_without_a_c_compiler_the_wheel_is_pure_and_says_so(tmp_path: Path) -> None:
    """The encoder and the loops in C are left out, installation goes on, and the reasons are printed."""
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "out"), str(REPO)],
        env=os.environ | {"CC": "no-such-compiler"},
        check=True,
        capture_output=True,
        text=True,
    )
    (wheel,) = (tmp_path / "out").glob("*.whl")

    assert wheel.name.endswith("-py3-none-any.whl")
    assert [] == [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert "without the encoder in C" in built.stdout + built.stderr
    assert "without the loops in C" in built.stdout + built.stderr


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is here: install gcc and Python's headers")
def test_with_a_c_compiler_the_wheel_carries_what_is_in_c(wheel: Path) -> None:
    """And says by its name for which Python and machine it is."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert {f"tradewire/{room}/_native{suffix}" for room in ("schemas", "sinks")} == {
        name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(suffix)
    }
    assert not wheel.name.endswith("-none-any.whl")


def test_the_wheel_holds_only_our_one_name(wheel: Path) -> None:
    """Nothing generic such as ``schemas`` or ``producers`` lands in a trading service's site-packages."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {"tradewire"} == {top for top in tops if not top.endswith(".dist-info")}


def test_the_wheel_carries_the_contract(wheel: Path) -> None:
    """Avro files, topics and typing markers are data of the package, not of the checkout."""
    names = zipfile.ZipFile(wheel).namelist()

    assert "tradewire/schemas/topics.yaml" in names
    assert "tradewire/schemas/avro/market/trade.reported/v1.avsc" in names
    assert [] == [room for room in ROOMS if f"tradewire/{room}/py.typed" not in names]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_imports_from_the_wheel_in_an_unrelated_folder(room: str, python: Path, tmp_path: Path) -> None:
    """No import leans on the checkout: the modules come out of the environment's own site-packages."""
    code = f"import tradewire.{room} as room; print(room.__file__)"
    done = subprocess.run([python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "" == done.stderr
    assert done.stdout.startswith(str(python.parents[1]))


# What only an extra brings: see pyproject.toml.
OF_EXTRAS = ("faust", "mode", "aiokafka", "rocksdict", "uvloop", "clickhouse_connect", "chdb", "fastapi", "aiohttp")


@pytest.mark.parametrize("room", ["core", "schemas", "producers", "processors"])
def test_the_base_install_publishes_and_subscribes(room: str, python: Path, tmp_path: Path) -> None:
    """``pip install tradewire`` has no Faust and no ClickHouse: what is offered there must not import them."""
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OF_EXTRAS!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import tradewire.{room} as room
print(all(hasattr(room, name) for name in room.__all__))
if {room!r} == "processors":
    from tradewire.core import load_settings
    @room.subscribe("trading.order.*")
    def handler(event): ...
    print(len(room.Subscriber(load_settings(), handler, group="g").subscriptions.types) > 5)
"""
    done = subprocess.run([python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "" == done.stderr
    assert {"True"} == set(done.stdout.split())


def test_the_catalogue_loads_from_the_wheel(python: Path, tmp_path: Path) -> None:
    """The schemas are found through the installed package."""
    code = "from tradewire.schemas import Catalogue; print('trading.order.filled' in Catalogue.load())"
    done = subprocess.run([python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "True\n" == done.stdout


def test_a_typed_consumer_is_checked_against_the_wheel(python: Path, tmp_path: Path) -> None:
    """A type checker sees our types through the wheel: it finds the one deliberate mistake and nothing else."""
    source = (REPO / "tests" / "house" / "typed_consumer.py").read_text()
    (tmp_path / "consumer.py").write_text(source)
    line = 1 + next(number for number, text in enumerate(source.splitlines()) if "deliberate mistake:" in text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "consumer.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    errors = [text for text in done.stdout.splitlines() if ": error:" in text]
    assert 1 == len(errors), done.stdout
    assert errors[0].startswith(f"consumer.py:{line}: error: Incompatible return value type")


def test_a_wrong_field_and_a_float_price_are_found_before_anything_runs(python: Path, tmp_path: Path) -> None:
    """The generated classes reach a type checker through the wheel: each deliberate mistake is found, nothing else."""
    source = (REPO / "tests" / "house" / "typed_events.py").read_text()
    (tmp_path / "events.py").write_text(source)
    expected = [
        (number, text.partition("# mistake: ")[2])
        for number, text in enumerate(source.splitlines(), start=1)
        if "# mistake: " in text
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "events.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    errors = re.findall(r"^events\.py:(\d+): error: .*\[(.*)\]$", done.stdout, re.MULTILINE)
    assert 4 == len(expected)
    assert expected == [(int(number), code) for number, code in errors], done.stdout
