"""What a log means: statistics over its changes."""
