"""The runtime: one isolated process, from its description to its exit status.

An OCI specification and a root file system (plain data) enter through ``launching.Launcher.launch``; a running process
with its shim, and later an exit status, leave. Four programs take part, each in a module: the engine's ``client``,
the ``launcher`` that forks, a ``shim`` per container that outlives both, and ``init``, which becomes the user's
program. They exchange the messages of ``protocol``. Further programs are brought into a container that runs by a
``keeper`` each, which ``entering`` asks for.

Reading order: ``spec`` (what a container is), ``defaults``, ``protocol``, ``launcher``; ``shim`` (prepared and
started), ``stdio``, ``rootfs``, ``binds`` (opened on the host); ``init`` (from birth to the program), ``stage``,
``attaching``, ``masking``, ``devices``, ``users``, ``reaping``; ``supervising`` (until the end), ``log``, ``packed``,
``rewind``, ``follow``; the engine's side: ``launching``, ``pool``, ``client``, ``stock``, ``cleanup``; ``keeper`` and
``entering`` (one more program).

Example:
    >>> launcher = Launcher("/nbcontainers/example")
    >>> connection = await launcher.launch(request)
    >>> (await connection.wait()).code
    0
"""
