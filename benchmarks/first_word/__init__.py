"""How long the first word takes: nemochat beside llama-cpp-python's chat handler and llama-server, each in a process of its own."""
