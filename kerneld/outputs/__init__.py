"""Renderers: the model to text, JSON and CSV. They return strings; only the command line prints."""
