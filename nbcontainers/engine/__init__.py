"""The engine: the one place that knows which containers exist and what may happen to them.

Requests enter as domain types (``configuration``) through the facade ``Engine``, from the API alone; below it the rooms
images, build, networks, volumes and runtime do the work and know nothing of each other. What must survive the
engine's death leaves through ``state``, what others want to know through ``events`` and ``metrics``.

Reading order: ``configuration`` and ``model`` (the vocabulary: what is asked, what is; the table of states),
``engine`` (the facade), ``register``, ``creation`` (what is decided before anything runs), ``anticipation``,
``lifecycle`` (start and exit), ``live`` (those that run), ``control`` (signals, stop, pause), ``removal``,
``restarts``, ``health``, ``update``, ``recovery`` (what a new engine finds), ``state``, ``events``, ``metrics``,
``limits``, ``files``, ``log_attributes``, ``names``, ``doctor``; ``admission``, ``networking``, ``user_networks``
(networks); ``filesystems``, ``archive``, ``changes`` and ``commits`` (a container's files).

Example:
    >>> engine = Engine(Path("/var/lib/nbcontainers"), Path("/run/nbcontainers"))
    >>> await engine.start()
    >>> container, warnings = await engine.create("", ContainerConfig(image="host", cmd=("true",)), HostConfig())
    >>> await engine.start_container(container.id)
    >>> await engine.wait(container.id)
    >>> await engine.remove(container.id)
    >>> await engine.close()
"""
