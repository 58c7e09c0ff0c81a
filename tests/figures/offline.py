"""A program run where every socket is deadly: no name can be looked up unnoticed, by Python or by native code."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
"""Number of socket(2); socketpair(2), which pipes between processes may be, is another call."""
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def is_possible() -> bool:
    """Return whether this system can forbid system calls in the way used here."""
    return sys.platform == "linux" and platform.machine() in SOCKET_CALL


def forbid_sockets() -> None:
    """Have the kernel kill this process, or any that it starts, with SIGSYS when it makes a socket.

    Raises:
        OSError: the kernel refuses.
    """
    number = SOCKET_CALL[platform.machine()]
    rules = b"".join(
        struct.pack("HBBI", *rule)
        for rule in (
            (_LOAD_NUMBER, 0, 0, 0),
            (_JUMP_IF_EQUAL, 0, 1, number),
            (_RETURN, 0, 0, _KILL_PROCESS),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    held = ctypes.create_string_buffer(rules)
    program = _Program(len(rules) // 8, ctypes.addressof(held))
    library = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0)):
        if library.prctl(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    forbid_sockets()
    os.execv(sys.executable, (sys.executable, *sys.argv[1:]))
