"""From a conversation to what the model reads: the Nemotron format, tool-call parsing, and the context window. Pure functions."""
