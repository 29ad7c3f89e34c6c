"""The page, its JSON and its metrics: a process without rights that only reads the databases."""
