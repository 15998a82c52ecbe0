"""What the user works on, without any screen: the open conversation and its one writer, turns, draft, model, tools, commands."""
