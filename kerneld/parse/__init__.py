"""Text into facts, and nothing else: no file is opened here, no clock is read."""
