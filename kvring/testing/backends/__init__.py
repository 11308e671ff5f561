"""Adapters of real backends. Nothing here is imported unless it is named on the command line."""
