"""The process that tells settled incidents outside: at least once, from an outbox of its own."""
