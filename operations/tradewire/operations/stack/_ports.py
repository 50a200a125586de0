"""Ports on this machine: which are free, who holds one, and what to tell the operator."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import psutil

from tradewire.core.errors import StackError
from tradewire.operations.stack._errors import PortTaken

_EPHEMERAL_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT = 10_000
_TRIES_MAX = 500


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now; connections still in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def port_answers(host: str, port: int, *, timeout_s: float = 0.5) -> bool:
    """Whether something accepts a connection there within ``timeout_s``."""
    try:
        with socket.create_connection((host, port), timeout_s):
            return True
    except OSError:
        return False


def free_ports(count: int, host: str = "127.0.0.1") -> tuple[int, ...]:
    """``count`` different ports nobody listens on, below the range the kernel gives to outgoing connections.

    From that range a client that keeps connecting to a stopped server on loopback can end up connected to itself and
    hold the port: a server killed and started again on it would fail. The ports are not reserved: whoever starts a
    server on one may still lose it to another process and gets PortTaken.

    Raises:
        StackError: no free port was found.
    """
    found: set[int] = set()
    lowest, highest = _range()
    for _ in range(_TRIES_MAX):
        if len(found) == count:
            return tuple(found)
        port = random.randint(lowest, highest)
        if port_is_free(host, port):
            found.add(port)
    raise StackError(f"no {count} free ports on {host} between {lowest} and {highest}: end what listens there")


def _range() -> tuple[int, int]:
    return _LOWEST_PORT, _outgoing_ports_low() - 1


def _outgoing_ports_low() -> int:
    try:
        low = int(_EPHEMERAL_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return low if low > _LOWEST_PORT + 1_000 else 65_535


def ensure_port_free(host: str, port: int, *, purpose: str, setting: str | None = None) -> None:
    """Returns if a server could listen on the port.

    Raises:
        PortTaken: somebody else does; names the holder as far as this user may see it, and the setting to change.
    """
    if port_is_free(host, port):
        return
    holder = port_holder(port)
    remedy = f"end it, or set {setting} to a free port" if setting else "end it, or choose another port"
    raise PortTaken(
        f"port {port} on {host}, needed for {purpose}, is taken by {holder or 'a process of another user'}: {remedy}",
        port=port,
        setting=setting,
        holder=holder,
    )


def port_holder(port: int) -> str | None:
    """``java (pid 4711: java -Xmx512m …)`` for the process that listens on the port, None if it cannot be seen."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                return None
            try:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())
                return f"{process.name()} (pid {process.pid}: {command[:120]}{'…' if len(command) > 120 else ''})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None
