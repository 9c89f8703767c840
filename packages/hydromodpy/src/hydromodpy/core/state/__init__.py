"""Documented import path of the machine index; nothing here but re-exports."""
