"""Tests on a kernel with other control groups than this machine's: user-mode Linux, booted on this machine's files.

``boot`` starts the guest and waits for it, ``init.sh`` is the guest's first process, ``guest`` is the plugin that
writes down there what each test did, and ``plugin`` reads it here and reports it as the test's own result. So a test
for cgroup version 2 is run by name, like any other, on a machine that has version 1.
"""
