"""Experiments: chains of preprocessing and model that were trained on datasets, kept, ranked, replayed, exported."""
