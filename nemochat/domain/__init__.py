"""Frozen values that every part shares: messages, segments, images, sampling, events. No I/O; imports errors and settings alone."""
