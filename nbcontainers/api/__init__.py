"""The API: the Docker Engine HTTP API on a unix socket, and nothing else between the clients and the engine.

Requests enter as HTTP; what leaves towards the engine are its own domain types (``nbcontainers.engine.configuration``),
checked and complete. What the engine answers leaves as Docker's JSON, with Docker's status codes. Wire types stay in
this room, HTTP stays in this room.

Reading order: ``serve`` (the process), ``server`` (the socket), ``routing`` (path and version to handler), ``calls``
(one request's values), ``failures`` (errors to statuses), ``responses`` and ``hijack`` (what goes back); then the
handlers, one subject each: ``system``, ``containers`` (with ``creation``, ``mounts``, ``inspection``, ``filters``),
``logs`` and ``attach`` (with ``output``, ``frames``), ``stats``, ``images``, ``builds`` (with
``contexts``), ``networks``, ``volumes``, ``extensions``, ``shaping``, ``captures`` and
``topology`` (beyond Docker), and ``unsupported`` for what is not there. ``wire`` holds the JSON types under Docker's
names.

Example:
    $ python -m nbcontainers.api serve --root /tmp/e/root --run /tmp/e/run &
    $ docker -H unix:///tmp/e/run/engine.sock run --rm host echo hello
"""
