"""Measurements: accuracy of the demo model, speed and memory. Not in the wheel and never part of the tests' verdict."""
