"""The only door to /proc, cgroupfs and users' files: every root path is an argument."""
