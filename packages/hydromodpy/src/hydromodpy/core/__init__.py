"""Documented import paths of what the scopes share; nothing here but re-exports."""
