"""kerneld: the flight recorder and coroner beside every Jupyter kernel on a machine."""

__version__ = "0.1.0"
