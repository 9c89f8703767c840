"""Documented import paths of the project catalog; nothing here but re-exports."""
