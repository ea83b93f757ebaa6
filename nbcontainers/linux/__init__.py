"""The kernel's features that containers are made of, one per module, with no knowledge of containers.

Each function wraps one system call or one small set of files, says which, and raises ``SyscallError`` when the kernel
refuses. The tutorials import these modules directly: what teaches a namespace is what starts the containers. What the
launcher loads imports nothing beyond ``ctypes`` and the smallest modules of the standard library. ``netlink`` and
``conntrack`` stand on pyroute2; ``seccomp`` and ``nftables`` load a C library when they are first used.

Reading order: ``libc`` (how a system call is made from Python), ``namespaces``, ``processes``, ``mounts``,
``mountinfo``, ``overlay``, ``descriptors``, ``files``, ``quota``, ``cgroups``, ``capabilities``, ``seccomp``,
``seccomp_profile``, ``spreading``, ``inotify``, ``netlink``, ``traffic``, ``packets``, ``nftables``, ``conntrack``.

Example:
    >>> pid, pidfd = processes.clone(namespaces.CLONE_NEWUTS)
    >>> if pid == 0:
    ...     namespaces.sethostname("inside")
    ...     os._exit(0)
    >>> processes.wait_pidfd(pidfd)
    0
"""
