"""The runtime, on the real kernel: a launcher of its own, root file systems of busybox and of this machine."""
