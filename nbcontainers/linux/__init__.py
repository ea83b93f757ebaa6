"""The kernel's features that containers are made of, one per module, with no knowledge of containers.

Each function wraps one system call or one small set of files, says which, and raises ``SyscallError`` when the kernel
refuses. The tutorials import these modules directly: what teaches a namespace is what starts the containers. All but
``netlink`` and ``nftables`` import nothing beyond ``ctypes``, because the launcher loads them.

Reading order: ``libc`` (how a system call is made from Python), ``namespaces``, ``processes``, ``mounts``,
``overlay``, ``descriptors``, ``files``, ``cgroups``, ``capabilities``, ``seccomp``, ``inotify``, ``netlink``,
``traffic``, ``packets``, ``nftables``.

Example:
    >>> pid, pidfd = processes.clone(namespaces.CLONE_NEWUTS)
    >>> if pid == 0:
    ...     namespaces.sethostname("inside")
    ...     os._exit(0)
    >>> processes.wait_pidfd(pidfd)
    0
"""
