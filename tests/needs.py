"""What a test cannot do without; where it is missing the test is skipped, and says what to install or to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradewire.operations.stack import Java, ToolMissing, find_java


def java_or_skip() -> Java:
    """The Java that runs brokers and the registry."""
    try:
        return find_java()
    except ToolMissing as error:
        pytest.skip(
            "Java 17 or newer is missing, so neither broker nor registry can be started: install one "
            f"(Debian: apt install openjdk-17-jre-headless) or set JAVA_HOME. {error}"
        )


def market_file_or_skip(folder: Path, name: str) -> Path:
    """A file of the real market data."""
    file = folder / name
    if not file.is_file():
        pytest.skip(
            f"{name}, real market data, is missing in {folder}: get it from its publisher (Binance's public trades and "
            "websocket, LOBSTER's sample of order messages), put it there, or name its folder in TRADEWIRE_TEST_DATA"
        )
    return file
