"""The terminal interface (Textual). It draws; the chat core decides."""
