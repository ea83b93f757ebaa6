"""The runtime: one isolated process, from its description to its exit status.

An OCI specification and a root file system (plain data) enter through ``launching.Launcher.launch``; a running process
with its shim, and later an exit status, leave. Four programs take part, each in a module: the engine's ``client``,
the ``launcher`` that forks, a ``shim`` per container that outlives both, and ``init``, which becomes the user's
program. They exchange the messages of ``protocol``. Further programs are brought into a container that runs by a
``keeper`` each, which ``entering`` asks for.

Reading order: ``spec`` (what a container is), ``defaults``, ``protocol``, ``launcher``, ``shim``, ``supervising``,
``init``, ``rootfs``, ``binds``, ``attaching``, ``masking``, ``devices``, ``users``, ``log``, ``packed``, ``client``,
``keeper``, ``entering``.

Example:
    >>> launcher = Launcher("/nbcontainers/example")
    >>> connection = await launcher.launch(request)
    >>> (await connection.wait()).code
    0
"""
