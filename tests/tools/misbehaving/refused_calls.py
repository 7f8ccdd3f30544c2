"""Asks the kernel for what no tool needs: ptrace, new namespaces, mounts, keys, raw sockets."""

import ctypes
import socket

libc = ctypes.CDLL(None)
libc.ptrace(0, 0, 0, 0)
libc.unshare(0x20000)
libc.mount(b"none", b"/nowhere", b"tmpfs", 0, None)
libc.syscall(250, 0, 0)  # keyctl, on x86_64
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
except OSError:
    pass
