"""The collector: sources in, one queue, one owner, one store."""
