"""The model: one protocol, a worker process with its supervising client, llama.cpp, and a scripted engine for tests."""
