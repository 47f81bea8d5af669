"""Papers that work: the daily page of AI papers, its methods to import and its claims to run."""

__version__ = "0.1.0"
