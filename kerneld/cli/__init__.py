"""The command line: one file a verb; each parses, calls, renders and exits. Nothing else prints."""
