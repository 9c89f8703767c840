"""Acquisition: what a measuring session records as it happens; its runs, events and frames."""
