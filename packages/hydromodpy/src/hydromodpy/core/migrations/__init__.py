"""Documented import path of the migrations; nothing here but re-exports."""
