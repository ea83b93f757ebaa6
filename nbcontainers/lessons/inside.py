"""The guest's side: a Python that does what it is told, in a process that was made to be changed.

It has one thread, holds nothing but its end of the channel, and imports all it needs at once: later its own files may
be out of its sight. A guest that has forked may let the child go on: the channel is open in both, and whoever reads
from it first answers.

Source: unix(7) § SOCK_SEQPACKET.
"""

import ast
import linecache
import pickle
import signal
import socket
import sys
import traceback

from nbcontainers.linux import processes

LIMIT_BYTES = 128 << 10
"""Of one message, a value or a function's text; what is printed has no limit."""

_names: dict[str, object] = {"__name__": "__main__"}


def main() -> None:
    """Answer until the notebook closes its end."""
    processes.set_parent_death_signal(signal.SIGKILL)
    processes.set_name("guest")
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        channel.set_inheritable(False)
        channel.send(_packed("value", None))
        while request := channel.recv(LIMIT_BYTES):
            answer = _obey(*pickle.loads(request))
            sys.stdout.flush()
            channel.send(answer)


def _obey(source: str, function: str, arguments: tuple[object, ...]) -> bytes:
    """Execute a cell or call a function, and return the answer to send."""
    name = f"<guest {len(linecache.cache)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        value = _execute(ast.parse(source, name), name)
        if function:
            value = _names[function](*arguments)  # type: ignore[operator]
        return _packed("value", value)
    except Exception as error:
        # The two frames of this module say nothing to the reader.
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        told = traceback.format_exception(type(error), error, frames.tb_next if frames else None)
        return _packed("error", "".join(told)[-LIMIT_BYTES // 2 :])


def _execute(tree: ast.Module, name: str) -> object:
    """Execute statements; the last one, when it is an expression, is the value, as in a notebook's cell."""
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), _names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), _names)


def _packed(kind: str, value: object) -> bytes:
    try:
        packed = pickle.dumps((kind, value))
    except Exception:  # what cannot travel is shown as text
        packed = pickle.dumps((kind, repr(value)))
    if len(packed) > LIMIT_BYTES:
        return pickle.dumps(("error", f"the value is too large to be sent: {len(packed)} bytes"))
    return packed


if __name__ == "__main__":
    main()
