"""A real kernel that dies before one's eyes, recorded by a daemon of its own; nothing is left."""
