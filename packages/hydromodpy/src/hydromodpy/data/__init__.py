"""Documented import path of the input cache; nothing here but re-exports."""
