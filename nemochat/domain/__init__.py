"""Frozen values that every part shares: messages, segments, images, sampling, events. No I/O and no imports from the rest of nemochat."""
