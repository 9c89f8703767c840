"""The verbs of the umbrella that have a room of their own."""
