"""The outside world into facts: one file, one thread, one owner of its descriptors."""
