"""nftables: the kernel's packet filter, by the library that the ``nft`` program is made of.

libnftables takes the same text as ``nft(8)``, whole or not at all: a transaction. It was chosen over netlink messages
of our own because the text is what one reads in every tutorial, and it is only needed when a network is made.

Source: nft(8), libnftables(3).
"""

from __future__ import annotations

import ctypes

from nbcontainers.errors import Unavailable

_REMEDY = "apt install nftables, modprobe nf_tables nft_chain_nat"


def run(commands: str) -> str:
    """Run commands in the calling thread's network namespace, all of them or none.

    Args:
        commands: As ``nft -f`` reads them.

    Returns:
        What they print.

    Raises:
        Unavailable: The library is missing, or the kernel refuses.

    Source: libnftables(3) § nft_run_cmd_from_buffer.
    """
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise Unavailable("nftables", str(error), _REMEDY) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        if library.nft_run_cmd_from_buffer(context, commands.encode()) != 0:
            reason = (library.nft_ctx_get_error_buffer(context) or b"").decode().strip().splitlines()
            raise Unavailable("nftables", reason[0] if reason else "refused", _REMEDY)
        return (library.nft_ctx_get_output_buffer(context) or b"").decode()
    finally:
        library.nft_ctx_free(context)


def check() -> None:
    """Try whether a chain with address translation can be made, and remove it again.

    Raises:
        Unavailable: It cannot.

    Source: nft(8) § Chains.
    """
    run("add table ip nbc_check; add chain ip nbc_check c { type nat hook postrouting priority srcnat; }")
    run("delete table ip nbc_check")
