"""Benchmarks of the model's card: what is asked, what is answered, and how an answer is scored. Knows no interface."""
