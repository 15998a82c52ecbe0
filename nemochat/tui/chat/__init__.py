"""The chat screen: what is on it, how the desk is shown there, how it asks."""
