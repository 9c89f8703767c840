"""What each kind of event means, in rows: of inputs, and of sources."""
